//! The server, tested over real connections.

#[cfg(test)]
mod auth;
#[cfg(test)]
mod checks;
#[cfg(test)]
mod control;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod program;
#[cfg(test)]
mod protocols;
#[cfg(test)]
mod raw;
#[cfg(test)]
mod shown;
#[cfg(test)]
mod support;
#[cfg(test)]
mod transport;
