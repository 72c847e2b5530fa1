//! Parses server-sent events from a stream.
//!
//! Source: the HTML standard, section 9.2.6, "Interpreting an event stream". The server does not use ids and
//! retry times, so they are ignored. Lines end with LF or CR LF.

use std::io::{self, BufRead, ErrorKind, Read};

/// One event.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its type. Empty if it has none.
    pub(crate) kind: String,
    /// Its data.
    pub(crate) data: String,
}

/// The events of a stream. An event without the blank line after it is incomplete and is ignored.
#[derive(Debug)]
pub(crate) struct Events<R>(R);

impl<R: BufRead> Events<R> {
    /// Reads the events of this stream.
    pub(crate) const fn new(stream: R) -> Self {
        Self(stream)
    }

    /// Returns a line without its end, or `None` at the end of the stream.
    fn line(&mut self) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        let read = self.0.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return if read as u64 == MAX_LINE {
                Err(io::Error::new(ErrorKind::InvalidData, "an event is too long"))
            } else {
                Ok(None)
            };
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(Some(String::from_utf8_lossy(&line).into_owned()))
    }

    fn event(&mut self) -> io::Result<Option<Event>> {
        let mut event = Event::default();
        let mut data: Vec<String> = Vec::new();
        while let Some(line) = self.line()? {
            let (name, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match name {
                _ if line.is_empty() && !data.is_empty() => {
                    event.data = data.join("\n");
                    return Ok(Some(event));
                }
                // An event without data is ignored.
                _ if line.is_empty() => event = Event::default(),
                "event" => value.clone_into(&mut event.kind),
                "data" => data.push(value.to_owned()),
                _ => {}
            }
        }
        Ok(None)
    }
}

impl<R: BufRead> Iterator for Events<R> {
    type Item = io::Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        self.event().transpose()
    }
}

/// The longest line in bytes. A status document with all its reasons has some 10 KB.
const MAX_LINE: u64 = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        Events::new(text.as_bytes())
            .map(|event| event.map(|event| (event.kind, event.data)).unwrap())
            .collect()
    }

    fn event(kind: &str, data: &str) -> (String, String) {
        (kind.to_owned(), data.to_owned())
    }

    #[test]
    fn events_are_read_as_the_standard_says() {
        let text = ": alive\n\nevent: progress\ndata: {\"a\":1}\n\nevent:end\r\ndata:x\r\ndata: y\r\nid: 7\r\n\r\ndata\n\n";
        assert_eq!(
            read(text),
            [
                event("progress", "{\"a\":1}"),
                event("end", "x\ny"),
                event("", "")
            ]
        );
    }

    #[test]
    fn an_event_without_data_is_none_and_leaves_nothing_behind() {
        assert_eq!(read("event: end\n\ndata: x\n\n"), [event("", "x")]);
    }

    #[test]
    fn an_event_that_breaks_off_is_none() {
        for text in ["event: end\ndata: {}\n", "event: end\ndata: {}", ""] {
            assert_eq!(read(text), [], "{text}");
        }
    }

    #[test]
    fn a_line_without_end_is_not_held() {
        let endless = io::BufReader::new(io::repeat(b'x'));
        let error = Events::new(endless).next().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
    }
}
