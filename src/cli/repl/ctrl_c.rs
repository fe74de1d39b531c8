use std::io;
use std::thread::{Builder, JoinHandle};

use crossbeam_channel::{Receiver, bounded};
use signal_hook::consts::SIGINT;
use signal_hook::iterator::{Handle, Signals};

use crate::client::Interrupt;

/// Makes Ctrl-C stop the command that runs, not the program. While a line is typed,
/// rustyline takes the key.
pub struct CtrlC {
    signals: Handle,
    thread: JoinHandle<()>,
    interrupt: Interrupt,
    interrupted: Receiver<()>,
}

impl CtrlC {
    pub fn start(interrupt: &Interrupt) -> io::Result<CtrlC> {
        let mut signals = Signals::new([SIGINT])?;
        let handle = signals.handle();
        let (sender, interrupted) = bounded(1);
        let calls = interrupt.clone();
        let thread = Builder::new().name("repl-signals".to_owned()).spawn(move || {
            for _ in signals.forever() {
                calls.raise();
                // Full: it is known already.
                let _ = sender.try_send(());
            }
        })?;
        Ok(CtrlC { signals: handle, thread, interrupt: interrupt.clone(), interrupted })
    }

    /// For a command that waits for something else than a call.
    pub fn interrupted(&self) -> Receiver<()> {
        self.interrupted.clone()
    }

    /// Before a command: what came earlier does not concern it.
    pub fn clear(&self) {
        self.interrupt.clear();
        let _ = self.interrupted.try_recv();
    }

    pub fn stop(self) {
        self.signals.close();
        // The thread does not panic.
        let _ = self.thread.join();
    }
}
