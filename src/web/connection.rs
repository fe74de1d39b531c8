//! A browser's TCP connection, which fails when the browser stops reading.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use crate::limits::WEB_KEEPALIVE;

/// A connection whose writes fail once the other side has read nothing for the stall
/// timeout while there was something to read. HTTP itself has no such timeout.
pub(crate) struct Connection {
    stream: TcpStream,
    stall_timeout: Duration,
    /// When the present stall has lasted too long. One timer serves all stalls.
    deadline: Pin<Box<Sleep>>,
    is_stalled: bool,
}

impl Connection {
    /// Turns off Nagle's algorithm. Keepalive probes find a silent machine that has
    /// vanished, and the user timeout one that no longer acknowledges data.
    pub(crate) fn new(stream: TcpStream, stall_timeout: Duration) -> io::Result<Connection> {
        stream.set_nodelay(true)?;
        sockopt::set_socket_keepalive(&stream, true)?;
        sockopt::set_tcp_keepidle(&stream, WEB_KEEPALIVE)?;
        sockopt::set_tcp_keepintvl(&stream, WEB_KEEPALIVE)?;
        let millis = u32::try_from(stall_timeout.as_millis()).unwrap_or(u32::MAX);
        sockopt::set_tcp_user_timeout(&stream, millis)?;
        let deadline = Box::pin(sleep(stall_timeout));
        Ok(Connection { stream, stall_timeout, deadline, is_stalled: false })
    }

    /// Passes on the outcome of a write, or fails if writes have waited too long.
    fn limit_stall<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.is_stalled = false;
            return written;
        }
        if !self.is_stalled {
            self.is_stalled = true;
            self.deadline.as_mut().reset(Instant::now() + self.stall_timeout);
        }
        // Polling the timer also registers this task for its end.
        match self.deadline.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.limit_stall(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.limit_stall(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
