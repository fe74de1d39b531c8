//! The load: h2load. All of its figures are checked.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use tokio::process::{Child, Command};

use crate::server::mortal;
use crate::stats;

/// What to send, on how many connections and streams.
pub struct Load<'a> {
    pub port: u16,
    pub method: &'a str,
    pub body: Bytes,
    pub connections: usize,
    /// Calls in flight on each connection.
    pub streams: usize,
}

/// The result of a load.
pub struct Done {
    pub per_second: f64,
    /// The size of all bodies of the answers.
    pub data_bytes: u64,
    pub p50_us: f64,
    pub p99_us: f64,
}

impl Load<'_> {
    /// Makes `calls` calls. Fails unless HTTP answered every one. Errors of gRPC show in the
    /// list's revision, which the caller checks.
    pub async fn run(&self, calls: u64, scratch: &Path) -> Result<Done> {
        let log = scratch.join("h2load.log");
        let _ = fs::remove_file(&log); // it would be appended to
        let output = self
            .command(scratch)?
            .args(["-n", &calls.to_string()])
            .arg(format!("--log-file={}", log.display()))
            .output()
            .await?;
        let said = String::from_utf8(output.stdout)?;
        ensure!(output.status.success(), "h2load: {}", String::from_utf8_lossy(&output.stderr));
        let succeeded: u64 = number_before(&said, " succeeded")?;
        let ok: u64 = number_before(&said, " 2xx")?;
        ensure!(succeeded == calls && ok == calls, "not all {calls} calls were answered:\n{said}");
        let mut took_us = durations(&log)?;
        took_us.sort_unstable_by(f64::total_cmp);
        Ok(Done {
            per_second: number_before(&said, " req/s")?,
            data_bytes: data_bytes(&said)?,
            p50_us: stats::percentile(&took_us, 50.0),
            p99_us: stats::percentile(&took_us, 99.0),
        })
    }

    /// Opens one stream on each connection, and ends when nothing was received for `quiet_s`
    /// seconds.
    pub fn watch(&self, quiet_s: u64, scratch: &Path) -> Result<Watching> {
        let child = self
            .command(scratch)?
            .args(["-n", &self.connections.to_string(), "-N", &quiet_s.to_string()])
            .spawn()?;
        Ok(Watching { child })
    }

    fn command(&self, scratch: &Path) -> Result<Command> {
        let body = scratch.join(format!("{}.body", self.method));
        fs::write(&body, &self.body)?;
        let mut command = Command::from(mortal("h2load"));
        command
            .args(["-t", "1", "-c", &self.connections.to_string()])
            .args(["-m", &self.streams.to_string()])
            .args(["-H", "content-type: application/grpc", "-H", "te: trailers", "-d"])
            .arg(body)
            .arg(format!("http://127.0.0.1:{}/todo.TodoService/{}", self.port, self.method))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        Ok(command)
    }
}

/// A running h2load that holds watches open.
pub struct Watching {
    child: Child,
}

impl Watching {
    /// Waits for its end. Returns the bytes of updates that it received.
    pub async fn received_bytes(self) -> Result<u64> {
        let output = self.child.wait_with_output().await?;
        data_bytes(&String::from_utf8(output.stdout)?)
    }
}

/// Parses `82468.11` from `finished in 727.55ms, 82468.11 req/s, ..`.
fn number_before<T: std::str::FromStr>(said: &str, unit: &str) -> Result<T> {
    said.split_once(unit)
        .and_then(|(before, _)| before.rsplit([' ', '(']).next())
        .and_then(|number| number.parse().ok())
        .with_context(|| format!("h2load does not say how many{unit}:\n{said}"))
}

/// Parses `3951146` from `traffic: .. total, .. headers (..), 3.77MB (3951146) data`.
fn data_bytes(said: &str) -> Result<u64> {
    number_before(said, ") data")
}

/// The third column: the duration of each call, in microseconds.
fn durations(log: &Path) -> Result<Vec<f64>> {
    let text = fs::read_to_string(log)?;
    text.lines()
        .map(|line| {
            let column = line.split('\t').nth(2).context("h2load's log has another form")?;
            Ok(column.parse()?)
        })
        .collect()
}
