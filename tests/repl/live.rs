//! Changes by others while a line is typed.

use std::time::{Duration, Instant};

use todo::client::{Client, Edit};
use todo::state::Limits;

use crate::daemon::Daemon;
use crate::example_server::ExampleServer;
use crate::terminal::{CTRL_C, CTRL_D, CTRL_R, Repl, contents};
use crate::{DEADLINE, client, server, server_on, socket};

#[test]
fn changes_by_others_appear_above_the_line() {
    let (_server, address) = server();
    let mut repl = Repl::start(&address);
    let other = client(&address);
    registered(&repl, &other);
    repl.keys("add half a li");
    repl.prompt_is("add half a li");
    let id = other.add("Buy milk").unwrap().id;
    repl.sees(&format!("[Update] Task {id}: ADDED\n  Title: Buy milk\n  Completed: False\n"));
    repl.prompt_is("add half a li");
    other.edit(id, Edit::Complete).unwrap();
    repl.sees(&format!("[Update] Task {id}: COMPLETED\n  Title: Buy milk\n  Completed: True\n"));
    repl.keys("ne\r");
    repl.prompt_is("");
    repl.sees(" half a line\n");
}

/// While rustyline waits for a second key of something, it prints no announcement.
#[test]
fn an_announcement_does_not_wait_for_a_key() {
    let (_server, address) = server();
    let other = client(&address);
    for title in ["Buy milk", "Call mum", "Sweep"] {
        other.add(title).unwrap();
    }
    // Enough for more than one page of candidates.
    (0..30).for_each(|n| drop(other.add(&format!("task {n}")).unwrap()));
    let mut repl = Repl::start_with_rows(&address, tempfile::tempdir().unwrap(), &[], 20);
    registered(&repl, &other);
    repl.line("show 1");
    let announced = |repl: &Repl, typed: &str, what: &str| {
        let id = other.add(what).unwrap().id;
        repl.sees(&format!("[Update] Task {id}: ADDED\n  Title: {what}\n  Completed: False\n"));
        repl.prompt_is(typed);
    };
    repl.keys("done \t");
    repl.sees(" more)");
    announced(&repl, "done ", "after Tab");
    repl.keys("\t");
    announced(&repl, "done ", "after a second Tab");
    repl.keys(CTRL_C);
    repl.prompt_is("");
    repl.keys("re\t");
    repl.sees("reopen   restore");
    announced(&repl, "re", "after Tab with two candidates");
    repl.keys(CTRL_C);
    repl.prompt_is("");
    for (keys, name) in [
        ("\x1b", "Escape"),
        ("\x18", "Ctrl-X"),
        ("\x16", "Ctrl-V"),
        ("\x11", "Ctrl-Q"),
        ("\x1d", "Ctrl-]"),
    ] {
        repl.keys("half");
        repl.keys(keys);
        announced(&repl, "half", name);
        repl.keys(CTRL_C);
        repl.prompt_is("");
    }
    repl.keys(CTRL_R);
    repl.keys("ow");
    repl.prompt_is("show 1");
    announced(&repl, "show 1", "in a search");
    repl.keys("\r");
    repl.sees("title      Buy milk\n");
}

#[test]
fn ctrl_c_stops_a_command_not_the_session() {
    let (_server, address) = server();
    let mut repl = Repl::start(&address);
    repl.keys("watch\r");
    repl.sees(&format!("watching {address}\n"));
    let other = client(&address);
    for n in 1..=5 {
        other.add("Buy milk").unwrap();
        repl.sees(&format!("{n} ADDED {n} Buy milk\n"));
    }
    repl.keys(CTRL_C);
    repl.prompt_is("");
    // `watch` printed these changes, and nothing announces them again: the first
    // announcement after it is of the next change.
    let next = other.add("Sweep").unwrap().id;
    repl.sees(&format!("[Update] Task {next}: ADDED\n"));
    let announced = updates(repl.screen.terminal.lock().parser.screen());
    assert_eq!(announced, 1, "{}", repl.screen());
    repl.line("done 1");
    repl.sees("completed 1 Buy milk\n");
}

#[test]
fn the_servers_loss_and_return_are_announced() {
    let dir = tempfile::tempdir().unwrap();
    let (server, address) = server_on(&socket(dir.path()));
    let mut repl = Repl::start(&address);
    registered(&repl, &client(&address));
    repl.keys("add half");
    repl.prompt_is("add half");
    server.shutdown().unwrap();
    repl.sees("[Offline] ");
    repl.prompt_is("add half");
    let (_server, _) = server_on(&address);
    repl.sees(&format!("[Online] connected to {address}\n"));
    repl.prompt_is("add half");
    repl.keys(" a line\r");
    repl.sees("\n1 half a line\n");
    repl.prompt_is("");
    registered(&repl, &client(&address));
}

/// The server has no time to say that it ends. The session notices it, and afterwards shows
/// every acknowledged change and every change that was made elsewhere.
#[test]
fn restart_of_a_killed_server_is_announced_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    let address = daemon.address.clone();
    let mut repl = Repl::start(&address);
    registered(&repl, &client(&address));
    repl.line("add before the kill");
    repl.keys("add half");
    repl.prompt_is("add half");
    daemon.kill();
    repl.sees("[Offline] cannot reach unix:");
    repl.prompt_is("add half");
    let elsewhere = Daemon::start_at(dir.path(), "elsewhere.sock", &[]);
    let id = client(&elsewhere.address).add("meanwhile").unwrap().id;
    elsewhere.kill();
    let _daemon = Daemon::start(dir.path());
    repl.sees(&format!(
        "[Online] connected to {address}\n\
         [Update] Task {id}: ADDED\n  Title: meanwhile\n  Completed: False\n"
    ));
    repl.prompt_is("add half");
    repl.keys(" a line\r");
    repl.sees(&format!("\n{} half a line\n", id + 1));
    repl.line("list");
    for (id, title) in (id - 1..).zip(["before the kill", "meanwhile", "half a line"]) {
        repl.sees(&format!("\n{id:6}  open       {title}\n"));
    }
    registered(&repl, &client(&address));
}

#[test]
fn few_missed_changes_are_announced_and_many_are_listed() {
    let dir = tempfile::tempdir().unwrap();
    let serve = |address: &str| {
        let store = Box::new(todo::store::SqliteStore::open(dir.path()).unwrap());
        let listen = [address.parse().unwrap()];
        todo::server::Server::start(store, Limits::default(), &listen).unwrap()
    };
    let address = socket(dir.path());
    let server = serve(&address);
    client(&address).add("known").unwrap();
    let repl = Repl::start(&address);
    registered(&repl, &client(&address));
    // At an address that the session does not watch.
    let change_elsewhere = |edits: &[Edit]| {
        let elsewhere = serve("127.0.0.1:0");
        let other = client(&elsewhere.addresses()[0].to_string());
        let added = other.add("new").unwrap().id;
        edits.iter().for_each(|edit| drop(other.edit(1, edit.clone()).unwrap()));
        elsewhere.shutdown().unwrap();
        added
    };
    server.shutdown().unwrap();
    repl.sees("[Offline] ");
    let added = change_elsewhere(&[Edit::Complete]);
    let server = serve(&address);
    repl.sees(&format!(
        "[Online] connected to {address}\n\
         [Update] Task {added}: ADDED\n  Title: new\n  Completed: False\n\
         [Update] Task 1: COMPLETED\n  Title: known\n  Completed: True\n"
    ));
    server.shutdown().unwrap();
    // The notice of the second loss.
    repl.screen.wait("[Offline]", |screen| contents(screen).matches("[Offline]").count() == 2);
    let many: Vec<_> = [Edit::Reopen, Edit::Complete].into_iter().cycle().take(10).collect();
    let added = change_elsewhere(&many);
    let server = serve(&address);
    repl.sees(&format!("[Online] changed while offline: {added}, 1\n"));
    server.shutdown().unwrap();
}

#[test]
fn another_list_at_the_same_address_is_announced() {
    let dir = tempfile::tempdir().unwrap();
    let (server, address) = server_on(&socket(dir.path()));
    client(&address).add("of the old list").unwrap();
    let mut repl = Repl::start(&address);
    registered(&repl, &client(&address));
    server.shutdown().unwrap();
    repl.sees("[Offline] ");
    let store = Box::new(todo::store::MemoryStore::new("another-list"));
    let listen = [address.parse().unwrap()];
    let other = todo::server::Server::start(store, Limits::default(), &listen).unwrap();
    repl.sees("[Online] the server has another list now\n");
    let id = client(&address).add("of the new list").unwrap().id;
    repl.sees(&format!("[Update] Task {id}: ADDED\n  Title: of the new list\n"));
    repl.keys("done \t");
    repl.prompt_is(&format!("done {id} "));
    other.shutdown().unwrap();
}

#[test]
fn ctrl_c_stops_a_wait_and_a_change_by_others_ends_it() {
    let (_server, address) = server();
    let other = client(&address);
    other.add("Buy milk").unwrap();
    let mut repl = Repl::start(&address);
    repl.keys("wait 1\r");
    repl.sees("waiting for 1 Buy milk\n");
    repl.keys(CTRL_C);
    repl.prompt_is("");
    repl.line("list --at 0");
    repl.sees("todo: no tasks\n");
    repl.keys("wait 1 --revision 2 --timeout 60s --json\r");
    repl.screen.wait("waiting", |screen| contents(screen).matches("waiting for").count() == 2);
    other.edit(1, Edit::Complete).unwrap();
    repl.sees("{\"id\":1,\"title\":\"Buy milk\",\"completed\":true,");
    repl.prompt_is("");
    repl.line("history 1 --from 1");
    repl.sees("  COMPLETED       1  Buy milk\n");
}

#[test]
fn a_session_starts_without_its_server_and_ends_immediately() {
    let dir = tempfile::tempdir().unwrap();
    let address = socket(dir.path());
    let mut repl = Repl::start(&address);
    repl.sees(&format!("[Offline] cannot reach {address}: "));
    repl.line("list");
    repl.sees(&format!("todo: cannot reach {address}: "));
    let (server, _) = server_on(&address);
    repl.sees("[Online] ");
    repl.line("add x");
    repl.sees("\n1 x\n");
    server.shutdown().unwrap();
    let start = Instant::now();
    repl.keys(CTRL_D);
    repl.ends();
    // Far below every timeout and back-off.
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[test]
fn hostile_titles_of_another_server_do_not_change_the_screen() {
    let example = ExampleServer::start();
    let repl = Repl::start(&example.address);
    let other = client(&example.address);
    registered(&repl, &other);
    other.add("\x1b[2Jgone\r\nover\u{202e}").unwrap();
    repl.sees("  Title: \\u{1b}[2Jgone\\u{d}\\u{a}over\\u{202e}\n  Completed: False\n");
    repl.prompt_is("");
}

#[test]
fn the_examples_server_has_a_session_too() {
    let example = ExampleServer::start();
    let other = client(&example.address);
    other.add("Buy milk").unwrap();
    let mut repl = Repl::start(&example.address);
    registered(&repl, &other);
    repl.keys("done 1");
    repl.sees("> done 1  Buy milk\n");
    repl.keys("\r");
    repl.sees("completed 1 Buy milk\n");
    repl.line("show 1");
    repl.sees("does not have GetTask: use todod\n");
}

/// Waits until the REPL's watch is registered: it announces the changes of `other`.
pub fn registered(repl: &Repl, other: &Client) {
    let start = Instant::now();
    let before = updates(repl.screen.terminal.lock().parser.screen());
    loop {
        other.add("Are you there?").unwrap();
        let is_there = |screen: &vt100::Screen| updates(screen) > before;
        if repl.screen.wait_at_most(Duration::from_millis(200), is_there) {
            return;
        }
        assert!(start.elapsed() < DEADLINE, "nothing is announced:\n{}", repl.screen());
    }
}

fn updates(screen: &vt100::Screen) -> usize {
    contents(screen).matches("[Update]").count()
}
