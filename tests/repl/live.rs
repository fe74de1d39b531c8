//! What comes from others while somebody types.

use std::time::{Duration, Instant};

use todo::client::{Client, Edit};
use todo::state::Limits;

use crate::daemon::Daemon;
use crate::seed_server::SeedServer;
use crate::terminal::{CTRL_C, CTRL_D, Repl, contents};
use crate::{DEADLINE, client, server, server_on, socket};

#[test]
fn what_others_do_appears_above_a_line_being_typed() {
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
    // The last ones may come up again behind the prompt's back.
    assert!(updates(repl.screen.terminal.lock().parser.screen()) < 5, "{}", repl.screen());
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

/// Without a word: the session notices by itself, and goes on with all that was
/// acknowledged and all that was done elsewhere.
#[test]
fn a_server_that_is_killed_and_started_again_is_announced_and_nothing_is_lost() {
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
fn a_few_changes_while_the_server_was_away_are_told_and_many_are_named() {
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
    // Where the session does not see it.
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
    // Of the second loss.
    repl.screen.wait("[Offline]", |screen| contents(screen).matches("[Offline]").count() == 2);
    let many: Vec<_> = [Edit::Reopen, Edit::Complete].into_iter().cycle().take(10).collect();
    let added = change_elsewhere(&many);
    let server = serve(&address);
    repl.sees(&format!("[Online] changed meanwhile: {added}, 1\n"));
    server.shutdown().unwrap();
}

#[test]
fn another_list_at_the_same_place_is_said() {
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
    repl.sees("[Online] this is another list than before\n");
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
fn a_session_starts_without_its_server_and_ends_at_once() {
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
    // Far below any timeout or back-off of a server that is gone.
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[test]
fn hostile_titles_of_a_foreign_server_do_nothing_to_the_screen() {
    let seed = SeedServer::start();
    let repl = Repl::start(&seed.address);
    let other = client(&seed.address);
    registered(&repl, &other);
    other.add("\x1b[2Jgone\r\nover\u{202e}").unwrap();
    repl.sees("  Title: \\u{1b}[2Jgone\\u{d}\\u{a}over\\u{202e}\n  Completed: False\n");
    repl.prompt_is("");
}

#[test]
fn the_seeds_server_has_a_session_too() {
    let seed = SeedServer::start();
    let other = client(&seed.address);
    other.add("Buy milk").unwrap();
    let mut repl = Repl::start(&seed.address);
    registered(&repl, &other);
    repl.keys("done 1");
    repl.sees("> done 1  Buy milk\n");
    repl.keys("\r");
    repl.sees("completed 1 Buy milk\n");
    repl.line("show 1");
    repl.sees("does not offer GetTask: it needs todod\n");
}

/// Waits until the REPL's watch is registered: it announces what `other` does.
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
