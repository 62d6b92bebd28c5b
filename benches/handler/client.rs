//! The host's side of a connection, as cheap as can be: the less the client costs, the more of the time is the
//! server's.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// No answer takes this long; what does is broken, and the measurement ends.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest answer that is read.
const LONGEST: usize = 1 << 16;

pub(crate) const PING: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";

/// One kept connection.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
    line: String,
    body: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream), line: String::new(), body: Vec::new() })
    }

    /// Sends a request and reads the answer, which has to be a 200 with a body.
    pub(crate) fn ask(&mut self, request: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(request)?;
        let status = self.line()?.to_owned();
        let mut length = 0;
        while let Some((name, value)) = self.line()?.split_once(':') {
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().map_err(|_| broken("a length that is no number"))?;
            }
        }
        if !status.starts_with("HTTP/1.1 200") || !(1..=LONGEST).contains(&length) {
            return Err(broken(&format!("{status:?} with a body of {length} bytes")));
        }
        self.body.resize(length, 0);
        self.stream.read_exact(&mut self.body)
    }

    fn line(&mut self) -> io::Result<&str> {
        self.line.clear();
        let read = self.stream.by_ref().take(LONGEST as u64).read_line(&mut self.line)?;
        if read == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(self.line.trim_end()) }
    }
}

/// A notice as the host sends it: chunked, with its own headers. The event is one that concerns no key.
pub(crate) fn unrelated_notice() -> Vec<u8> {
    let body = include_str!("unrelated_notice.json").trim_end();
    let head = "POST /OnKeyNotice HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Azure-Functions-HostVersion: 4.1037.0.0\r\n\
        X-Azure-Functions-InvocationId: 7c1d9f0e-2f63-4f0a-8a0c-51f3c2c0a9d1\r\n\
        User-Agent: Azure-Functions-Host/4.1037.0.0\r\nContent-Type: application/json; charset=utf-8\r\n\
        Transfer-Encoding: chunked\r\n\r\n";
    format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len()).into_bytes()
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a server answered {what}"))
}
