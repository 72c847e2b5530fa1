//! The errors of commands.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::exit::Exit;
use crate::problem::Problem;

/// An error, worded for the user of the command. It never contains the API key.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// The command line or a setting is invalid.
    #[error("{0}")]
    Usage(String),
    /// A local file cannot be read or written.
    #[error("{}: {fault}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The error.
        fault: io::Error,
    },
    /// The server refused the request.
    #[error("the server refused: {0}")]
    Refused(Box<Problem>),
    /// The server was unable to execute the request.
    #[error("the server failed: {0}")]
    Unavailable(Box<Problem>),
    /// There was no answer, or it was incomplete.
    #[error("no answer from {url}: {reason}")]
    Unreachable {
        /// The deployment.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The answer is not one of apns-edge.
    #[error("{url} gave an answer that cannot be read: {reason}")]
    Unreadable {
        /// The deployment.
        url: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// Writing to standard output failed.
    #[error("standard output: {0}")]
    Output(io::Error),
}

impl Failure {
    /// Returns the exit code.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            // The reader of a pipe has closed it, as `head` does when it has read enough.
            Self::Output(fault) if fault.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
            Self::Usage(_) | Self::File { .. } | Self::Output(_) => Exit::Usage,
            Self::Refused(_) => Exit::Refused,
            Self::Unavailable(_) | Self::Unreachable { .. } | Self::Unreadable { .. } => Exit::Unavailable,
        }
    }

    /// Whether the same request may succeed a little later.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Unavailable(problem) | Self::Refused(problem) => problem.is_passing(),
            Self::Usage(_) | Self::File { .. } | Self::Unreadable { .. } | Self::Output(_) => false,
        }
    }

    /// Whether the server does not have the requested object.
    pub(crate) fn is_absence(&self) -> bool {
        self.problem().is_some_and(Problem::is_absence)
    }

    /// Returns the problem document of the server.
    pub(crate) const fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Refused(problem) | Self::Unavailable(problem) => Some(problem),
            Self::Usage(_)
            | Self::File { .. }
            | Self::Unreachable { .. }
            | Self::Unreadable { .. }
            | Self::Output(_) => None,
        }
    }
}
