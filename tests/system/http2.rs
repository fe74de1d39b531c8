//! HTTP/2 by hand: what a well-behaved gRPC client does not send.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use grpcio::RpcStatusCode;
use protobuf::Message;

use crate::harness::DEADLINE;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames.
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;

/// Flags.
pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// A client's side of a connection. It does not acknowledge the server's SETTINGS by itself.
pub struct Peer {
    pub socket: TcpStream,
    address: String,
    next_stream: u32,
}

/// A frame that the server sent.
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Peer {
    pub fn connect(address: &str) -> Peer {
        // SETTINGS_HEADER_TABLE_SIZE is 1. Without a table the server sends its headers as text.
        Peer::with_settings(address, &[(1, 0)])
    }

    pub fn with_settings(address: &str, settings: &[(u16, u32)]) -> Peer {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket.set_nodelay(true).unwrap();
        let mut peer = Peer { socket, address: address.to_owned(), next_stream: 1 };
        peer.send(PREFACE);
        let settings = settings.iter();
        let settings =
            settings.flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat());
        peer.send(&frame(SETTINGS, 0, 0, &settings.collect::<Vec<u8>>()));
        peer
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    pub fn acknowledge_settings(&mut self) {
        self.send(&frame(SETTINGS, ACK, 0, &[]));
    }

    /// Begins a call, and returns its stream. Its message is still to be sent.
    pub fn open(&mut self, path: &str, more: &[(&str, &str)]) -> u32 {
        let stream = self.next_stream;
        self.next_stream += 2;
        let address = self.address.clone();
        let headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", &*address),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ];
        let headers: Vec<u8> =
            headers.iter().chain(more).flat_map(|(name, value)| header(name, value)).collect();
        self.send(&frame(HEADERS, END_HEADERS, stream, &headers));
        stream
    }

    /// Sends a whole request.
    pub fn call(&mut self, path: &str, request: &impl Message) -> u32 {
        let stream = self.open(path, &[]);
        let message = message(0, &request.write_to_bytes().unwrap());
        self.send(&frame(DATA, END_STREAM, stream, &message));
        stream
    }

    /// Waits until the server has received everything that was sent before. Returns the frames
    /// that came until then.
    pub fn ping(&mut self) -> Vec<Frame> {
        self.send(&frame(PING, 0, 0, &[7; 8]));
        let mut before = Vec::new();
        loop {
            let frame = self.frame();
            if (frame.kind, frame.flags) == (PING, ACK) {
                return before;
            }
            before.push(frame);
        }
    }

    /// The next frame of the server.
    pub fn frame(&mut self) -> Frame {
        self.try_frame().expect("a frame in time, from a server that is there")
    }

    pub fn try_frame(&mut self) -> std::io::Result<Frame> {
        let mut head = [0; 9];
        self.socket.read_exact(&mut head)?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.socket.read_exact(&mut payload)?;
        Ok(Frame { kind, flags, stream: u32::from_be_bytes(stream), payload })
    }

    /// The status of the next call that ends, and its stream.
    pub fn status(&mut self) -> (u32, RpcStatusCode) {
        loop {
            let frame = self.frame();
            if let Some(code) = frame.status() {
                return (frame.stream, code);
            }
        }
    }

    /// The status of a call. The core repeats the status of a call that it ends by itself.
    pub fn status_of(&mut self, stream: u32) -> RpcStatusCode {
        loop {
            let (of, code) = self.status();
            if of == stream {
                return code;
            }
        }
    }

    pub fn set_timeout(&self, timeout: Duration) {
        self.socket.set_read_timeout(Some(timeout)).unwrap();
    }
}

impl Frame {
    /// The status of a call, if the frame holds one.
    pub fn status(&self) -> Option<RpcStatusCode> {
        const NAME: &[u8] = b"grpc-status";
        if self.kind != HEADERS {
            return None;
        }
        let at = self.payload.windows(NAME.len()).position(|part| part == NAME)? + NAME.len();
        let value = &self.payload[at + 1..][..self.payload[at] as usize];
        Some(std::str::from_utf8(value).unwrap().parse::<i32>().unwrap().into())
    }
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A gRPC message. The flag 1 says that it is compressed.
pub fn message(flag: u8, payload: &[u8]) -> Vec<u8> {
    [&[flag], &(payload.len() as u32).to_be_bytes()[..], payload].concat()
}

/// A header in the plainest form of HPACK: name and value as text, in no table.
fn header(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
    [vec![0], text(name), text(value)].concat()
}
