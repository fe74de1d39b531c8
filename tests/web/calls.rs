//! Every method as JSON, and every error.

use std::net::{SocketAddr, TcpListener};

use serde_json::{Value, json};
use todo::state::Limits;
use todo::store::MemoryStore;
use todo::wire::methods;

use crate::app::{self, App};
use crate::harness::{Calls, TestServer};
use crate::http::{post, post_with};

/// Makes a call that succeeds, and returns its answer without times.
fn call(address: SocketAddr, method: &str, request: Value) -> Value {
    let answer = post(address, method, &request.to_string());
    assert_eq!(answer.status, 200, "{answer:?}");
    timeless(answer.json())
}

fn timeless(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            fields.retain(|name, _| !name.ends_with("At"));
            fields.values_mut().for_each(|field| *field = timeless(field.take()));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = timeless(item.take())),
        _ => {}
    }
    value
}

#[test]
fn every_method_over_json() {
    let (_server, app) = app::start();
    let milk = |fields: Value| {
        let mut task = json!({ "id": 1, "title": "Buy milk" });
        task.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        task
    };
    let of_task_1 = json!({ "taskId": 1 });
    let calls = [
        (
            "AddTask",
            json!({ "title": "Buy milk", "requestId": "r1" }),
            json!({ "task": milk(json!({ "revision": "1" })) }),
        ),
        (
            "GetTask",
            json!({ "task_id": 1 }), // the field name of the proto is accepted, too
            json!({ "task": milk(json!({ "revision": "1" })) }),
        ),
        (
            "CompleteTask",
            json!({ "taskId": 1, "expectedRevision": "1" }),
            json!({ "success": true, "task": milk(json!({ "revision": "2", "completed": true })) }),
        ),
        (
            "ReopenTask",
            json!({ "taskId": 1, "expectedRevision": 2 }), // a number is accepted, too
            json!({ "task": milk(json!({ "revision": "3" })) }),
        ),
        (
            "UpdateTask",
            json!({ "taskId": 1, "title": "Buy oat milk" }),
            json!({ "task": milk(json!({ "revision": "4", "title": "Buy oat milk" })) }),
        ),
        (
            "DeleteTask",
            of_task_1.clone(),
            json!({ "task": milk(json!({ "revision": "5", "title": "Buy oat milk", "deleted": true })) }),
        ),
        (
            "RestoreTask",
            of_task_1,
            json!({ "task": milk(json!({ "revision": "6", "title": "Buy oat milk" })) }),
        ),
        (
            "GetTasks",
            json!({ "filter": "ANY", "pageSize": 10 }),
            json!({
                "tasks": [milk(json!({ "revision": "6", "title": "Buy oat milk" }))],
                "revision": "6",
                "listId": "test-list",
            }),
        ),
        (
            "ListChanges",
            json!({ "afterRevision": "0", "upToRevision": "1" }),
            json!({
                "changes": [{
                    "task": milk(json!({ "revision": "1" })),
                    "action": "ADDED",
                    "revision": "1",
                    "requestId": "r1",
                    "batchRevision": "1",
                }],
                "revision": "6",
                "listId": "test-list",
            }),
        ),
        (
            "DeleteTask",
            json!({ "taskId": 1 }),
            json!({ "task": milk(json!({ "revision": "7", "title": "Buy oat milk", "deleted": true })) }),
        ),
        (
            "PurgeTask",
            json!({ "taskId": 1, "expectedRevision": 7.0, "requestId": null }),
            json!({ "task": { "id": 1, "revision": "8" } }),
        ),
    ];
    for (method, request, expected) in &calls {
        assert_eq!(call(app.address, method, request.clone()), *expected, "{method}");
    }
    for rpc in methods::ALL.iter().filter(|rpc| rpc.is_unary()) {
        let method = rpc.path.rsplit('/').next().unwrap();
        assert!(calls.iter().any(|(tested, ..)| *tested == method), "{method} is not tested");
    }
}

/// The mapping allows null for every field and any notation of a whole number.
#[test]
fn null_is_absence_and_whole_numbers_have_many_forms() {
    let (server, app) = app::start();
    for request in [r#"{"title":"x","requestId":null}"#, r#"{"title":"y"}"#] {
        assert_eq!(post(app.address, "AddTask", request).status, 200, "{request}");
    }
    for (method, request) in [
        ("GetTask", r#"{"taskId":1.0}"#),
        ("GetTask", r#"{"taskId":1e0}"#),
        ("GetTask", r#"{"taskId":"1"}"#),
        ("CompleteTask", r#"{"taskId":1.0,"requestId":null,"expectedRevision":null}"#),
        ("GetTasks", r#"{"filter":null,"pageSize":null,"pageToken":null,"atRevision":2.0}"#),
        ("ListChanges", r#"{"taskId":null,"afterRevision":null,"upToRevision":3.0}"#),
        ("UpdateTask", r#"{"taskId":2,"title":"z","expectedRevision":"2"}"#),
    ] {
        assert_eq!(post(app.address, method, request).status, 200, "{method} {request}");
    }
    let fraction = post(app.address, "CompleteTask", r#"{"taskId":1.5}"#);
    assert_eq!(fraction.error(), (400, "invalid_argument".to_owned()));
    assert!(fraction.message().contains("expected integer"), "{}", fraction.message());
    assert_eq!(server.client().titles(), ["x", "z"]);
}

#[test]
fn times_are_in_rfc_3339() {
    let (_server, app) = app::start();
    let answer = post(app.address, "AddTask", r#"{"title":"a"}"#);
    let created = answer.json()["task"]["createdAt"].as_str().unwrap().to_owned();
    assert!(created.len() >= 20 && created.ends_with('Z') && created.contains('T'), "{created}");
}

#[test]
fn each_error_has_its_status_and_a_message() {
    let store = Box::new(MemoryStore::new("test-list"));
    let server = TestServer::with(store, Limits { tasks_max: 2, ..Limits::default() });
    let app = App::serving(&server.address, Default::default());
    for title in ["a", "b"] {
        call(app.address, "AddTask", json!({ "title": title }));
    }
    call(app.address, "DeleteTask", json!({ "taskId": 2 }));
    for (method, request, status, code, why) in [
        ("GetTask", r#"{"taskId":7}"#, 404, "not_found", "Task not found"),
        ("AddTask", r#"{"title":" "}"#, 400, "invalid_argument", "title"),
        ("AddTask", r#"{"titel":"a"}"#, 400, "invalid_argument", "'titel'"),
        ("AddTask", r#"{"title":7}"#, 400, "invalid_argument", "todo.AddTaskRequest"),
        ("AddTask", r#"{"title":"a"} x"#, 400, "invalid_argument", "trailing"),
        ("AddTask", "{'title':'a'}", 400, "invalid_argument", "invalid JSON for todo."),
        ("AddTask", r#"{"title":"\ud83d"}"#, 400, "invalid_argument", "invalid JSON for todo."),
        ("AddTask", "[]", 400, "invalid_argument", "expected a map"),
        ("AddTask", "null", 400, "invalid_argument", "expected a map"),
        ("AddTask", "", 400, "invalid_argument", "invalid JSON for todo."),
        ("AddTask", "\u{7f}", 400, "invalid_argument", "invalid JSON for todo."),
        ("GetTask", r#"{"taskId":2147483648}"#, 400, "invalid_argument", "invalid JSON for todo."),
        ("GetTask", r#"{"taskId":1e400}"#, 400, "invalid_argument", "invalid JSON for todo."),
        ("GetTasks", r#"{"filter":"SOME"}"#, 400, "invalid_argument", "'SOME'"),
        ("GetTasks", r#"{"filter":9}"#, 400, "invalid_argument", "9"),
        ("CompleteTask", r#"{"taskId":1,"expectedRevision":"9"}"#, 409, "aborted", "9"),
        ("CompleteTask", r#"{"taskId":2}"#, 400, "failed_precondition", "deleted"),
        ("AddTask", r#"{"title":"c"}"#, 429, "resource_exhausted", "2"),
        ("ListChanges", r#"{"afterRevision":"99"}"#, 400, "out_of_range", "99"),
        ("WatchTasks", "{}", 501, "unimplemented", "use GET /events"),
        ("Nothing", "{}", 501, "unimplemented", "unknown method /todo.TodoService/Nothing"),
    ] {
        let answer = post(app.address, method, request);
        assert_eq!(answer.error(), (status, code.to_owned()), "{method} {request}");
        assert!(answer.message().contains(why), "{method} {request}: {}", answer.message());
    }
    let nested = format!("{}{}", r#"{"a":"#.repeat(5_000), "}".repeat(5_000));
    assert_eq!(post(app.address, "AddTask", &nested).error().0, 400);
}

#[test]
fn other_content_types_are_refused() {
    let (server, app) = app::start();
    let refused = |headers: &[(&str, &str)]| {
        let line = "POST /todo.TodoService/AddTask";
        crate::http::request(app.address, line, headers, r#"{"title":"a"}"#)
    };
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json5",
        "",
        "application/proto",
    ] {
        let answer = refused(&[("Content-Type", content_type)]);
        assert_eq!(answer.error(), (415, "invalid_argument".to_owned()), "{content_type}");
    }
    assert_eq!(refused(&[]).error().0, 415);
    let json = ("Content-Type", "application/json");
    assert_eq!(refused(&[json, ("Content-Encoding", "gzip")]).error().0, 415);
    assert_eq!(refused(&[json, ("Connect-Protocol-Version", "2")]).error().0, 400);
    assert_eq!(server.client().position().unwrap().unwrap().revision, 0, "nothing was changed");
    for content_type in ["application/json; charset=utf-8", "Application/JSON;charset=UTF-8"] {
        assert_eq!(refused(&[("Content-Type", content_type)]).status, 200, "{content_type}");
    }
    assert_eq!(refused(&[json, ("Connect-Protocol-Version", "1")]).status, 200);
}

#[test]
fn the_client_sets_the_timeout() {
    // Accepts connections, and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let app = App::serving(&silent.local_addr().unwrap().to_string(), Default::default());
    let within =
        |millis| post_with(app.address, "GetTasks", "{}", &[("Connect-Timeout-Ms", millis)]);
    for millis in ["0", "50"] {
        let answer = within(millis);
        assert_eq!(answer.error(), (504, "deadline_exceeded".to_owned()));
        assert!(answer.message().contains("Connect-Timeout-Ms"), "{}", answer.message());
    }
    for nonsense in ["", "-1", "+1", "1.5", "soon", "12345678901"] {
        assert_eq!(within(nonsense).error(), (400, "invalid_argument".to_owned()), "{nonsense}");
    }
}

#[test]
fn hostile_titles_stay_text() {
    let (server, app) = app::start();
    for title in [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "</textarea>'\"&lt;&amp;",
        "\\u0022 \\n {{7*7}} ${7*7}",
        "data: x event: reset id: 1",
        "😀 e\u{301} שלום \u{2028}\u{2029}x",
    ] {
        let request = json!({ "title": title }).to_string();
        // As Python writes it, too: characters beyond the first plane are two escapes.
        let escaped: String = request
            .chars()
            .flat_map(|c| match c.is_ascii() {
                true => vec![c.to_string()],
                false => {
                    c.encode_utf16(&mut [0; 2]).iter().map(|u| format!("\\u{u:04x}")).collect()
                }
            })
            .collect();
        for request in [request, escaped] {
            let answer = post(app.address, "AddTask", &request);
            assert_eq!(answer.status, 200, "{request} {answer:?}");
            assert_eq!(answer.json()["task"]["title"], title);
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        }
    }
    let mut events = crate::http::Events::open(app.address, "any");
    let (tasks, _) = events.snapshot();
    let shown: Vec<_> = tasks.iter().map(|task| task["title"].as_str().unwrap()).collect();
    assert_eq!(shown, server.client().titles());
}

#[test]
fn too_large_an_answer_advises_paging() {
    let (server, app) = app::start();
    let client = server.client();
    for _ in 0..1_100 {
        client.add(&"\u{1F600}".repeat(1_024)).unwrap();
    }
    let all = post(app.address, "GetTasks", "{}");
    assert_eq!(all.error(), (429, "resource_exhausted".to_owned()));
    assert!(all.message().contains("pageSize"), "{}", all.message());
    let page = call(app.address, "GetTasks", json!({ "pageSize": 1_000 }));
    assert!(page["nextPageToken"].as_str().unwrap().len() > 4);
}
