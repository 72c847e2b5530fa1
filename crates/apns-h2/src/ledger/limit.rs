//! The number of streams that may be open at once.

/// The server's limit, and whether more than one stream may be opened.
///
/// With token authentication APNs allows one stream until it has received a push with a valid token, and says
/// so in its SETTINGS. Even if it does not say so, the first push is sent alone: one refusal costs less than
/// a thousand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    most: usize,
    server: Option<usize>,
    proven: bool,
}

impl Limit {
    /// Creates a limit of at most `most` streams, and of none until the server's SETTINGS arrive.
    pub(super) const fn new(most: usize) -> Self {
        Self {
            most,
            server: None,
            proven: false,
        }
    }

    /// Records the server's SETTINGS. Without a limit in them the last one stays; at first there is none (RFC
    /// 9113 section 6.5.2).
    pub(super) fn set(&mut self, streams: Option<u32>) {
        let before = self.server;
        let streams = streams.map(|streams| usize::try_from(streams).unwrap_or(usize::MAX));
        let after = streams.or(before).unwrap_or(usize::MAX);
        self.proven |= before.is_some_and(|before| after > before);
        self.server = Some(after);
    }

    /// Records that the server has answered a push.
    pub(super) const fn prove(&mut self) {
        self.proven = true;
    }

    /// Whether SETTINGS have arrived.
    pub(super) const fn is_known(self) -> bool {
        self.server.is_some()
    }

    /// Returns the number of streams that may be open now.
    pub(super) fn now(self) -> usize {
        let own = if self.proven { self.most } else { 1.min(self.most) };
        self.server.unwrap_or(0).min(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_opened_before_the_servers_settings() {
        assert_eq!(Limit::new(10).now(), 0);
    }

    #[test]
    fn the_first_push_goes_alone_until_the_server_answers() {
        let mut limit = Limit::new(5000);
        limit.set(Some(1000));
        assert_eq!(limit.now(), 1);
        limit.prove();
        assert_eq!(limit.now(), 1000);
    }

    #[test]
    fn the_first_push_goes_alone_until_the_server_raises_its_limit() {
        let mut limit = Limit::new(5000);
        limit.set(Some(1));
        limit.set(None);
        assert_eq!(limit.now(), 1);
        limit.set(Some(1000));
        assert_eq!(limit.now(), 1000);
    }

    #[test]
    fn settings_are_obeyed_at_any_time_up_to_our_own_bound() {
        let mut limit = Limit::new(50);
        limit.set(None);
        limit.prove();
        assert_eq!(limit.now(), 50);
        limit.set(Some(7));
        assert_eq!(limit.now(), 7);
        limit.set(None);
        assert_eq!(limit.now(), 7);
        limit.set(Some(0));
        assert_eq!(limit.now(), 0);
    }
}
