use std::io;
use std::thread::{Builder, JoinHandle};

use crossbeam_channel::{Receiver, bounded};
use signal_hook::consts::SIGINT;
use signal_hook::iterator::{Handle, Signals};

use crate::client::Interrupt;

/// Makes Ctrl-C stop the running command instead of the program. While a line is typed,
/// rustyline receives the key.
pub(super) struct CtrlC {
    signals: Handle,
    thread: JoinHandle<()>,
    interrupt: Interrupt,
    interrupted: Receiver<()>,
}

impl CtrlC {
    pub(super) fn start(interrupt: &Interrupt) -> io::Result<CtrlC> {
        let mut signals = Signals::new([SIGINT])?;
        let handle = signals.handle();
        let (sender, interrupted) = bounded(1);
        let calls = interrupt.clone();
        let thread = Builder::new().name("repl-signals".to_owned()).spawn(move || {
            for _ in signals.forever() {
                calls.raise();
                // If the channel is full, the command is already being stopped.
                let _ = sender.try_send(());
            }
        })?;
        Ok(CtrlC { signals: handle, thread, interrupt: interrupt.clone(), interrupted })
    }

    /// Receives after Ctrl-C, for a command that waits for something other than a call.
    pub(super) fn interrupted(&self) -> Receiver<()> {
        self.interrupted.clone()
    }

    /// Forgets an earlier Ctrl-C, before the next command.
    pub(super) fn clear(&self) {
        self.interrupt.clear();
        let _ = self.interrupted.try_recv();
    }

    pub(super) fn stop(self) {
        self.signals.close();
        // The thread does not panic.
        let _ = self.thread.join();
    }
}
