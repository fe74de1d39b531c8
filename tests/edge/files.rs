//! The page's files.

use std::fs;
use std::path::{Path, PathBuf};

use crate::edge;
use crate::http::{get, request};

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn each_file_of_the_page_is_served_as_what_it_is() {
    let (_server, edge) = edge::start();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web/page");
    let files = files(&root);
    assert!(files.iter().any(|file| file.ends_with("index.html")));
    for file in files {
        let name = file.strip_prefix(&root).unwrap().to_str().unwrap();
        let answer = get(edge.address, &format!("/{name}"));
        assert_eq!(answer.status, 200, "{name}");
        let content_type = answer.header("content-type").unwrap();
        let (_, extension) = name.rsplit_once('.').unwrap();
        let expected = match extension {
            "html" => "text/html; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "js" | "mjs" => "text/javascript; charset=utf-8",
            "svg" => "image/svg+xml",
            _ => content_type,
        };
        assert_eq!(content_type, expected, "{name}");
        assert_eq!(
            answer.header("content-length"),
            Some(&*fs::metadata(&file).unwrap().len().to_string())
        );
    }
    let index = get(edge.address, "/");
    assert_eq!(index.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(index.body, fs::read_to_string(root.join("index.html")).unwrap());
}

#[test]
fn a_file_that_the_browser_has_is_not_sent_again() {
    let (_server, edge) = edge::start();
    let first = get(edge.address, "/");
    let etag = first.header("etag").unwrap();
    assert_eq!(first.header("cache-control"), Some("no-cache"));
    let again = request(edge.address, "GET /", &[("If-None-Match", etag)], "");
    assert_eq!((again.status, &*again.body), (304, ""));
    assert_eq!(again.header("etag"), Some(etag));
    let other = request(edge.address, "GET /", &[("If-None-Match", "\"other\"")], "");
    assert_eq!((other.status, other.body.len()), (200, first.body.len()));
}

#[test]
fn what_is_not_there_and_what_cannot_be_done() {
    let (_server, edge) = edge::start();
    for path in ["/nothing", "/..%2fmod.rs", "/../mod.rs", "/index.html/", "//index.html", "/%00"] {
        let answer = get(edge.address, path);
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.body, "There is no such page here; the task list is at /\n");
    }
    for (line, allow) in [
        ("POST /", "GET, HEAD"),
        ("DELETE /index.html", "GET, HEAD"),
        ("OPTIONS /", "GET, HEAD"),
        ("GET /todo.TodoService/AddTask", "POST"),
        ("POST /events", "GET,HEAD"),
    ] {
        let answer = request(edge.address, line, &[], "");
        assert_eq!((answer.status, answer.header("allow")), (405, Some(allow)), "{line}");
    }
    let head = {
        let mut connection = crate::http::Connection::open(edge.address);
        connection.send(&format!("HEAD / HTTP/1.1\r\nHost: {}\r\n\r\n", edge.address));
        connection.head()
    };
    let length = get(edge.address, "/").body.len().to_string();
    assert_eq!((head.status, head.header("content-length")), (200, Some(&*length)));
}
