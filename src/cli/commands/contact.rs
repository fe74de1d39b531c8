use crate::cli::Exit;
use crate::cli::output::Out;
use crate::client::CallError;

/// Tells the person when the server of a watch goes away and comes back.
#[derive(Default)]
pub struct Contact {
    was_made: bool,
    is_lost: bool,
}

impl Contact {
    pub fn made(&mut self, out: &mut Out) {
        self.was_made = true;
        if self.is_lost {
            self.is_lost = false;
            out.message("connected again");
        }
    }

    /// Returns the exit code if the server was never there: nothing is to be waited for.
    pub fn lost(&mut self, why: &CallError, out: &mut Out) -> Option<Exit> {
        if !self.was_made {
            return Some(out.failed("", why));
        }
        self.is_lost = true;
        out.message(&format!("{why}; trying again"));
        None
    }

    pub fn ended(&self, why: &CallError, out: &mut Out) -> Exit {
        let what = if self.was_made { "the watch ended: " } else { "" };
        out.failed(what, why)
    }
}
