//! Holds README.md and docs/ to the code: tables have a row for each name of the code and no other, limits
//! are the constants, and examples are documents that the server reads.
//!
//! Links, the summary and the commands are tested elsewhere (tools/docs-reader, `apns-edge`).

#[cfg(test)]
mod code;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod programs;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod tables;
