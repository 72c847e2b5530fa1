//! A client that writes and reads HTTP/2 frames by hand.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{Harness, PATIENCE, Push};

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const REFUSED_STREAM: u32 = 7;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn settings(&self) -> Vec<(u16, u32)> {
        let value = |c: &[u8]| {
            (
                u16::from_be_bytes([c[0], c[1]]),
                u32::from_be_bytes([c[2], c[3], c[4], c[5]]),
            )
        };
        self.payload.chunks(6).map(value).collect()
    }

    pub(crate) fn number(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

/// A client that writes and reads frames by hand.
pub(crate) struct Raw {
    pub(crate) tcp: TcpStream,
}

impl Raw {
    pub(crate) async fn connect(harness: &Harness) -> Self {
        let tcp = TcpStream::connect(harness.server.production_addr())
            .await
            .unwrap();
        let mut raw = Self { tcp };
        raw.tcp.write_all(PREFACE).await.unwrap();
        raw.write(SETTINGS, 0, 0, &[]).await;
        raw
    }

    pub(crate) async fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.tcp.write_all(&frame).await.unwrap();
    }

    pub(crate) async fn read(&mut self) -> Frame {
        let reading = async {
            let mut head = [0; 9];
            self.tcp.read_exact(&mut head).await.unwrap();
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            self.tcp.read_exact(&mut payload).await.unwrap();
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            Frame {
                kind: head[3],
                flags: head[4],
                stream,
                payload,
            }
        };
        timeout(PATIENCE, reading).await.expect("a frame in time")
    }

    /// Returns the next frame of a kind, and skips acknowledgements.
    pub(crate) async fn next(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.read().await;
            if frame.kind == kind && !(kind == SETTINGS && frame.flags == ACK) {
                return frame;
            }
        }
    }

    pub(crate) async fn acknowledge_settings(&mut self) {
        self.write(SETTINGS, ACK, 0, &[]).await;
    }

    pub(crate) async fn push(&mut self, stream: u32, push: &Push) {
        let mut block = Vec::new();
        let pseudo = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", &push.path),
            (":authority", "localhost"),
        ];
        let headers = push
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in pseudo.into_iter().chain(headers) {
            block.push(0);
            for text in [name, value] {
                encode_length(&mut block, text.len());
                block.extend(text.as_bytes());
            }
        }
        self.write(HEADERS, END_HEADERS, stream, &block).await;
        self.write(0, END_STREAM, stream, &push.body).await;
    }
}

/// Encodes an HPACK integer with a prefix of 7 bits.
fn encode_length(block: &mut Vec<u8>, length: usize) {
    match u8::try_from(length) {
        Ok(short @ 0..127) => block.push(short),
        _ => {
            block.push(127);
            let mut rest = length - 127;
            while rest >= 128 {
                block.push((rest % 128) as u8 | 128);
                rest /= 128;
            }
            block.push(rest as u8);
        }
    }
}
