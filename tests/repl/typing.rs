//! Commands, keys, menu and history.

use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;
use todo::client::Edit;

use crate::example_server::ExampleServer;
use crate::live::registered;
use crate::terminal::{CTRL_C, CTRL_D, CTRL_G, CTRL_R, Repl, contents, is_styled};
use crate::{DEADLINE, client, server};

#[test]
fn commands_work_as_in_the_shell() {
    let (_server, address) = server();
    let mut repl = Repl::start(&address);
    repl.sees("`help` lists the commands");
    repl.line("add Don't  \"forget\"");
    repl.sees("1 Don't  \"forget\"\n");
    repl.line("done x");
    repl.sees("invalid value 'x'");
    repl.line("done 99999999999");
    repl.line("done 7");
    repl.sees("todo: 7: Task not found\n");
    repl.line("add -");
    repl.sees("todo: `add -` reads titles from a pipe");
    repl.line("help");
    repl.sees("done ID...  ");
    repl.line("done 1");
    repl.sees("completed 1 Don't");
    assert!(!repl.screen().contains("[Update]"), "its own changes are not announced");
    repl.keys("exit\r");
    repl.ends();
}

#[test]
fn ctrl_c_clears_the_line_and_ctrl_d_leaves() {
    let (_server, address) = server();
    let mut repl = Repl::start(&address);
    repl.keys("add no");
    repl.prompt_is("add no");
    repl.keys(CTRL_C);
    repl.prompt_is("");
    repl.line("list");
    repl.sees("todo: no tasks\n");
    repl.keys(CTRL_D);
    repl.ends();
}

#[test]
fn ctrl_c_stops_a_call_that_waits() {
    let example = ExampleServer::start();
    let mut repl = Repl::start(&example.address);
    repl.keys("add first\r");
    repl.sees("\n1 first\n");
    repl.prompt_is("");
    repl.keys("add silence\r");
    example.silences.recv_timeout(DEADLINE).unwrap();
    repl.keys(CTRL_C);
    repl.sees("todo: interrupted before the answer came\n");
    repl.line("add second");
    repl.sees("\n2 second\n");
}

#[test]
fn input_that_is_typed_ahead_is_kept() {
    let (_server, address) = server();
    let mut repl = Repl::start(&address);
    repl.keys("1\rBuy milk\radd two\rlist\rdone 1\r");
    repl.sees("completed 1 Buy milk\n");
    repl.prompt_is("");
    repl.sees("Enter task title: Buy milk\nAdded task ID: 1\n");
    // Pasted together: each line is a line of input.
    repl.keys("\x1b[200~add three\nadd four\x1b[201~\r");
    repl.sees("\n3 three\n4 four\n");
}

/// rustyline gives up the line at a byte that is not UTF-8.
#[test]
fn a_key_that_is_not_utf8_is_ignored() {
    let (_server, address) = server();
    let mut repl = Repl::start(&address);
    repl.bytes(b"add caf\xe9\r");
    repl.sees("todo: ignored a key that is not UTF-8: set the terminal to UTF-8\n");
    repl.prompt_is("add caf");
    repl.keys("é \x01\x06");
    repl.bytes(b"\xff");
    repl.screen.wait("a second message", |s| contents(s).matches("ignored a key").count() == 2);
    // The cursor is where it was: behind the first letter.
    repl.keys("\x05au lait\r");
    repl.sees("\n1 café au lait\n");
    repl.keys("1\r");
    repl.cursor_is_behind("Enter task title: ");
    repl.keys("th");
    repl.cursor_is_behind("Enter task title: th");
    repl.bytes(b"\xe9\xe9");
    repl.screen.wait("a third message", |s| contents(s).matches("ignored a key").count() == 3);
    repl.cursor_is_behind("Enter task title: th");
    repl.keys("é\r");
    repl.sees("Added task ID: 2\n");
    repl.line("list");
    repl.sees("     2  open       thé\n");
}

#[test]
fn ctrl_r_searches_the_history() {
    let (_server, address) = server();
    let mut repl = Repl::start(&address);
    repl.line("add oat milk");
    repl.line("add bread");
    repl.line("done 2");
    repl.keys(CTRL_R);
    repl.prompt_is("done 2");
    repl.keys("mil");
    repl.sees("> add oat milk  (search: mil)\n");
    repl.prompt_is("add oat milk");
    repl.keys("\r");
    repl.sees("\n3 oat milk\n");
    repl.prompt_is("");
    repl.keys("add");
    repl.keys(CTRL_R);
    repl.prompt_is("add oat milk");
    repl.keys(&CTRL_R.repeat(2));
    repl.prompt_is("add oat milk");
    repl.keys(CTRL_G);
    repl.prompt_is("add");
}

#[test]
fn ids_are_completed_with_those_that_fit() {
    let (_server, address) = server();
    let other = client(&address);
    for title in ["Buy milk", "Sweep", "Call mum"] {
        other.add(title).unwrap();
    }
    other.edit(2, Edit::Complete).unwrap();
    other.edit(3, Edit::Delete).unwrap();
    let mut repl = Repl::start(&address);
    registered(&repl, &other);
    repl.keys("reop\t");
    repl.prompt_is("reopen ");
    repl.sees("reopen ID...");
    repl.keys("\t");
    repl.prompt_is("reopen 2 ");
    repl.keys("\r");
    repl.sees("reopened 2 Sweep\n");
    repl.prompt_is("");
    repl.keys("restore \t");
    repl.prompt_is("restore 3 ");
    repl.keys("\r");
    repl.sees("restored 3 Call mum\n");
    repl.prompt_is("");
    repl.keys("done \t\t");
    repl.sees("1  Buy milk");
    repl.sees("2  Sweep");
    repl.prompt_is("done ");
    repl.keys("1");
    // The hint is the title, dimmed.
    repl.sees("> done 1  Buy milk\n");
    repl.prompt_is("done 1");
    repl.keys("\r");
    repl.sees("completed 1 Buy milk\n");
}

#[test]
fn one_to_four_are_the_examples_menu() {
    let (_server, address) = server();
    let mut repl = Repl::start(&address);
    repl.keys("1\r");
    repl.cursor_is_behind("Enter task title: ");
    repl.keys("Buy milk\r");
    repl.sees("Enter task title: Buy milk\nAdded task ID: 1\n");
    repl.line("add Sweep");
    repl.keys("3\r");
    repl.cursor_is_behind("Enter task ID to complete: ");
    repl.keys("1\r");
    repl.sees("Enter task ID to complete: 1\nSuccess!\n");
    repl.line("2");
    repl.sees("\n\nTasks:\n✓ 1: Buy milk\n  2: Sweep\n");
    for (id, answer) in [
        ("x", "todo: \"x\" is not a task ID: use a number\n"),
        ("9", "todo: Task not found\n"),
        ("1", "Task 1 is already completed.\n"),
    ] {
        repl.keys("3\r");
        repl.cursor_is_behind("Enter task ID to complete: ");
        repl.keys(&format!("{id}\r"));
        repl.sees(answer);
        repl.prompt_is("");
    }
    repl.keys("1\r");
    repl.cursor_is_behind("Enter task title: ");
    repl.keys(CTRL_C);
    repl.prompt_is("");
    repl.keys("4\r");
    repl.ends();
}

#[test]
fn lines_are_remembered_for_their_owner() {
    let (_server, address) = server();
    let mut repl = Repl::start(&address);
    repl.line("add Buy milk");
    repl.keys(CTRL_D);
    let home = repl.ends();
    let file = home.path().join("todo").join("history");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let mut repl = Repl::start_with(&address, home, &[]);
    repl.keys("\x1b[A");
    repl.prompt_is("add Buy milk");
    repl.keys("\r");
    repl.sees("\n2 Buy milk\n");
}

#[test]
fn a_history_that_cannot_be_saved_is_reported_once() {
    let (_server, address) = server();
    let home = TempDir::new().unwrap();
    std::fs::write(home.path().join("todo"), "no directory").unwrap();
    let mut repl = Repl::start_with(&address, home, &[]);
    repl.line("add Buy milk");
    repl.line("list");
    let screen = repl.screen();
    assert_eq!(screen.matches("todo: the history is not saved").count(), 1, "{screen}");
}

#[test]
fn no_color_disables_styles_and_hints() {
    let (_server, address) = server();
    client(&address).add("Buy milk").unwrap();
    let home = TempDir::new().unwrap();
    let mut repl = Repl::start_with(&address, home, &[("NO_COLOR", "1")]);
    repl.keys("done");
    repl.sees("> done\n");
    repl.keys(" 1\rlist\r");
    repl.sees("     1  completed  Buy milk\n");
    assert!(!is_styled(&repl));
    let mut coloured = Repl::start(&address);
    coloured.line("list");
    assert!(is_styled(&coloured));
}
