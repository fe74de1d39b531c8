use crate::cli::Exit;
use crate::cli::output::Out;
use crate::client::CallError;

/// Reports on stderr when a watch loses its server and when it is connected again.
#[derive(Default)]
pub(super) struct ConnectionNotices {
    was_connected: bool,
    is_lost: bool,
}

impl ConnectionNotices {
    pub(super) fn connected(&mut self, out: &mut Out) {
        self.was_connected = true;
        if self.is_lost {
            self.is_lost = false;
            out.message("connected again");
        }
    }

    /// Returns the exit code if the server was never connected: the command does not wait
    /// for it.
    pub(super) fn lost(&mut self, why: &CallError, out: &mut Out) -> Option<Exit> {
        if !self.was_connected {
            return Some(out.failed("", why));
        }
        self.is_lost = true;
        out.message(&format!("{why}; trying again"));
        None
    }

    pub(super) fn ended(&self, why: &CallError, out: &mut Out) -> Exit {
        let what = if self.was_connected { "the watch ended: " } else { "" };
        out.failed(what, why)
    }
}
