//! Where an upload's lines come from: a file or standard input, streamed and never held.
//!
//! A file is read again from its beginning if its upload breaks. What comes from standard input is gone when it is read,
//! and can not be repeated here.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;

use crate::body::Lines;
use crate::caller::Caller;
use crate::client::{Answer, Target};
use crate::failure::Failure;

/// A source of lines.
#[derive(Debug)]
pub(crate) struct Source {
    /// None is standard input.
    path: Option<PathBuf>,
    can_repeat: bool,
}

impl Source {
    /// The file of this path; - is standard input.
    ///
    /// # Errors
    /// There is no such file.
    pub(crate) fn find(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Self {
                path: None,
                can_repeat: false,
            });
        }
        let metadata = path.metadata().map_err(|fault| Failure::File {
            path: path.to_owned(),
            fault,
        })?;
        Ok(Self {
            path: Some(path.to_owned()),
            // A pipe with a name is read once as well.
            can_repeat: metadata.is_file(),
        })
    }

    /// Whether it can be read again from its beginning.
    pub(crate) const fn can_repeat(&self) -> bool {
        self.can_repeat
    }

    /// Uploads the lines as they are, again and again if they can be repeated; as devices behind the head, if there is one.
    ///
    /// A server that refuses an upload may close the connection before all of it is sent, and its answer is lost.
    /// `refusal` then asks a small question that would be refused for the same reason.
    ///
    /// # Errors
    /// The last attempt's.
    pub(crate) fn upload(
        &self,
        caller: &Caller,
        target: &Target<'_>,
        head: Option<&str>,
        refusal: impl Fn() -> Option<Failure>,
    ) -> Result<Answer, Failure> {
        let attempt = || match self.attempt(caller, target, head) {
            Err(failure @ Failure::Unreachable { .. }) => Err(refusal().unwrap_or(failure)),
            answer => answer,
        };
        if self.can_repeat {
            caller.patiently(attempt)
        } else {
            attempt()
        }
    }

    fn attempt(&self, caller: &Caller, target: &Target<'_>, head: Option<&str>) -> Result<Answer, Failure> {
        let (input, length) = self.open()?;
        let bar = bar(caller, length);
        let mut input = Watched {
            input,
            bar: bar.clone(),
            fault: None,
        };
        let answer = match head {
            // Tokens become devices on the way, so that the length is known at the end alone.
            Some(_) => caller
                .client
                .upload(target, &mut Lines::new(head, &mut input), None),
            None => caller.client.upload(target, &mut input, length),
        };
        bar.finish_and_clear();
        match (answer, input.fault) {
            // What looks like a broken connection was ours.
            (Err(_), Some(fault)) => Err(self.at_fault(fault)),
            (answer, _) => answer,
        }
    }

    /// Opens it from its beginning. Its length is known if it is a file.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub(crate) fn open(&self) -> Result<(Box<dyn Read>, Option<u64>), Failure> {
        let Some(path) = &self.path else {
            return Ok((Box::new(io::stdin().lock()), None));
        };
        let file = File::open(path).map_err(|fault| self.at_fault(fault))?;
        let length = file.metadata().map_err(|fault| self.at_fault(fault))?.len();
        if self.can_repeat {
            // What is added while it is read is not of this upload.
            return Ok((Box::new(file.take(length)), Some(length)));
        }
        Ok((Box::new(file), None))
    }

    /// The failure to read it.
    pub(crate) fn at_fault(&self, fault: io::Error) -> Failure {
        let path = self.path.clone();
        Failure::File {
            path: path.unwrap_or_else(|| PathBuf::from("standard input")),
            fault,
        }
    }
}

/// The bar of an upload of so many bytes, if that is known.
pub(crate) fn bar(caller: &Caller, length: Option<u64>) -> ProgressBar {
    caller.screen.bar(length, BAR, COUNT)
}

/// An input that shows how far it is read, and remembers its fault.
struct Watched {
    input: Box<dyn Read>,
    bar: ProgressBar,
    fault: Option<io::Error>,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.input.read(buffer) {
            Ok(count) => {
                self.bar.inc(count as u64);
                Ok(count)
            }
            Err(error) => {
                let told = io::Error::new(error.kind(), error.to_string());
                self.fault = Some(error);
                Err(told)
            }
        }
    }
}

/// The bar of an upload.
const BAR: &str = "{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} to go";

/// What is shown in its place when nobody knows how much there is.
const COUNT: &str = "{spinner} {bytes} sent, {bytes_per_sec}";
