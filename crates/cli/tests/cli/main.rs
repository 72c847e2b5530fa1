//! The command `apns-edge` as its users run it, against a small server that follows the HTTP contract and
//! fails on demand.

#[cfg(test)]
mod audience;
#[cfg(test)]
mod batches;
#[cfg(test)]
mod campaign;
#[cfg(test)]
mod campaign_watch;
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod exits;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod import;
#[cfg(test)]
mod init;
#[cfg(test)]
mod key;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod parts;
#[cfg(test)]
mod push;
#[cfg(test)]
mod run;
#[cfg(test)]
mod send;
#[cfg(test)]
mod settings;
#[cfg(test)]
mod stdin;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod watch;
