//! Why a command could not do what it was asked to.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::exit::Exit;
use crate::problem::Problem;

/// An error, in words for whoever typed the command. None quotes the API key.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// The command line or a setting is at fault.
    #[error("{0}")]
    Usage(String),
    /// A file on this machine cannot be read or written.
    #[error("{}: {fault}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        fault: io::Error,
    },
    /// The server answered that it will not do this.
    #[error("the server refused: {0}")]
    Refused(Box<Problem>),
    /// The server answered that it cannot do this.
    #[error("the server failed: {0}")]
    Unavailable(Box<Problem>),
    /// There was no answer, or it broke off.
    #[error("no answer from {url}: {reason}")]
    Unreachable {
        /// The deployment.
        url: String,
        /// What happened on the way.
        reason: String,
    },
    /// There was an answer that is not one of apns-edge.
    #[error("{url} gave an answer that cannot be read: {reason}")]
    Unreadable {
        /// The deployment.
        url: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// Standard output cannot be written to.
    #[error("standard output: {0}")]
    Output(io::Error),
}

impl Failure {
    /// How the command ends with it.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            // Whoever reads us has seen enough, as `head` does.
            Self::Output(fault) if fault.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
            Self::Usage(_) | Self::File { .. } | Self::Output(_) => Exit::Usage,
            Self::Refused(_) => Exit::Refused,
            Self::Unavailable(_) | Self::Unreachable { .. } | Self::Unreadable { .. } => Exit::Unavailable,
        }
    }

    /// Whether the same request may well succeed a little later.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Unavailable(problem) | Self::Refused(problem) => problem.is_passing(),
            Self::Usage(_) | Self::File { .. } | Self::Unreadable { .. } | Self::Output(_) => false,
        }
    }

    /// Whether the server does not have what was asked for.
    pub(crate) fn is_absence(&self) -> bool {
        self.problem().is_some_and(Problem::is_absence)
    }

    /// The problem that the server described.
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
