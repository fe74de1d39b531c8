//! A connection that is lost between a change and its answer.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::thread;

use todo::client::Code;

use crate::harness::{Calls, TestServer, client, refusal};
use crate::interop::script;

/// https://www.rfc-editor.org/rfc/rfc9113#section-4.1
const FRAME_HEADER_BYTES: usize = 9;
const FRAME_TYPE_AT: usize = 3;
const HEADERS: u8 = 1;

/// Passes everything on, but cuts its first connection when the first answer comes
/// back: the server has done the call, and the client does not know. Its address.
fn proxy_that_loses_the_first_answer(server: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = server.to_owned();
    thread::spawn(move || {
        for (number, client) in listener.incoming().enumerate() {
            let (client, server) = (client.unwrap(), TcpStream::connect(&server).unwrap());
            let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut from, &mut to));
            thread::spawn(move || pass_on(server, client, number == 0));
        }
    });
    address
}

fn pass_on(mut server: TcpStream, mut client: TcpStream, cut: bool) {
    let mut frame = [0; FRAME_HEADER_BYTES];
    while server.read_exact(&mut frame).is_ok() && !(cut && frame[FRAME_TYPE_AT] == HEADERS) {
        let length = u32::from_be_bytes([0, frame[0], frame[1], frame[2]]);
        let mut body = vec![0; length as usize];
        let passed = server.read_exact(&mut body).and_then(|()| client.write_all(&frame));
        if passed.and_then(|()| client.write_all(&body)).is_err() {
            break;
        }
    }
    let _ = (server.shutdown(Shutdown::Both), client.shutdown(Shutdown::Both));
}

#[test]
fn a_lost_answer_is_asked_for_again_and_the_change_happens_once() {
    let server = TestServer::start();
    let lossy = client(&proxy_that_loses_the_first_answer(&server.address));
    let task = lossy.add("milk").unwrap();
    assert_eq!((task.id, task.revision), (1, 1));
    assert_eq!((server.client().titles(), server.client().revision()), (vec!["milk".into()], 1));
}

/// The example's server, as a Python program.
struct ExampleServer {
    child: Child,
    address: String,
}

impl ExampleServer {
    fn start() -> ExampleServer {
        let mut child =
            script("run_example_server.py").arg("0").stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on ").unwrap().to_owned();
        ExampleServer { child, address }
    }
}

impl Drop for ExampleServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_add_is_never_sent_twice_to_a_server_that_knows_no_request_ids() {
    let example = ExampleServer::start();
    let lossy = client(&proxy_that_loses_the_first_answer(&example.address));
    assert_eq!(refusal(lossy.add("milk")).0, Code::Unavailable);
    assert_eq!(client(&example.address).titles(), ["milk"]);
}

#[test]
fn todo_works_against_the_reference_examples_server() {
    let example = ExampleServer::start();
    let todo = |args: &[&str]| {
        let out = assert_cmd::Command::new(env!("CARGO_BIN_EXE_todo"))
            .args(["--server", &example.address])
            .args(args)
            .output()
            .unwrap();
        let said = String::from_utf8(out.stdout).unwrap() + &String::from_utf8_lossy(&out.stderr);
        (out.status.code().unwrap(), said)
    };
    assert_eq!(todo(&["add", "Buy", "milk"]), (0, "1 Buy milk\n".to_owned()));
    assert_eq!(todo(&["done", "1"]).0, 0);
    assert!(todo(&["list"]).1.contains("1  completed  Buy milk"));
    assert_eq!(todo(&["done", "9"]), (3, "todo: 9: Task not found\n".to_owned()));
    let (code, said) = todo(&["reopen", "1"]);
    assert_eq!((code, said.lines().count()), (1, 1), "one sentence: {said}");
    assert!(said.contains("does not have ReopenTask"), "{said}");
}
