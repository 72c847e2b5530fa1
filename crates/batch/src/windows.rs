//! The sending windows of a batch, and when sending ends.

use super::Terms;
use apns::time::Timestamp;

impl Terms {
    /// Whether pushes may be sent now.
    #[must_use]
    pub fn is_open_at(&self, now: Timestamp) -> bool {
        self.opens_at(now) == Some(now)
    }

    /// Returns when pushes may be sent next, which may be now. Returns `None` if the last window is over.
    #[must_use]
    pub fn opens_at(&self, now: Timestamp) -> Option<Timestamp> {
        if self.windows.is_empty() {
            return Some(now);
        }
        let ahead = self.windows.iter().filter(|(_, closes_at)| *closes_at > now);
        // A window that ends before it begins is ignored.
        let ahead = ahead.filter(|(opens_at, closes_at)| opens_at < closes_at);
        ahead.map(|(opens_at, _)| (*opens_at).max(now)).min()
    }

    /// Returns when the current window ends. Overlapping windows count as one. Returns `None` if none is open.
    #[must_use]
    pub fn closes_at(&self, now: Timestamp) -> Option<Timestamp> {
        let mut end = None;
        let mut open = now;
        loop {
            let here = self
                .windows
                .iter()
                .filter(|(opens_at, closes_at)| *opens_at <= open && *closes_at > open);
            match here.map(|(_, closes_at)| *closes_at).max() {
                Some(closes_at) => (end, open) = (Some(closes_at), closes_at),
                None => return end,
            }
        }
    }

    /// Returns when sending ends: the notification expires, or the last window is over.
    #[must_use]
    pub fn ends_at(&self) -> Option<Timestamp> {
        let closes_at = self.windows.iter().map(|(_, closes_at)| *closes_at).max();
        self.expires_at.into_iter().chain(closes_at).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{BEGIN, terms};
    use std::time::Duration;

    fn after(secs: u64) -> Timestamp {
        BEGIN + Duration::from_secs(secs)
    }

    fn windowed(windows: &[(u64, u64)]) -> Terms {
        Terms {
            windows: windows
                .iter()
                .map(|(from, to)| (after(*from), after(*to)))
                .collect(),
            ..terms()
        }
    }

    #[test]
    fn without_windows_pushes_go_out_at_any_time() {
        assert!(terms().is_open_at(BEGIN));
        assert_eq!((terms().opens_at(BEGIN), terms().ends_at()), (Some(BEGIN), None));
    }

    #[test]
    fn a_window_has_its_first_moment_and_not_its_last() {
        let terms = windowed(&[(10, 20), (30, 40)]);
        let open: Vec<u64> = (0..50).filter(|secs| terms.is_open_at(after(*secs))).collect();
        assert_eq!(open, (10..20).chain(30..40).collect::<Vec<_>>());
        assert_eq!(terms.opens_at(after(5)), Some(after(10)));
        assert_eq!(terms.opens_at(after(15)), Some(after(15)));
        assert_eq!(terms.opens_at(after(20)), Some(after(30)));
        assert_eq!(terms.opens_at(after(40)), None);
    }

    #[test]
    fn a_window_closes_where_no_other_goes_on() {
        let terms = windowed(&[(10, 20), (15, 30), (30, 40), (50, 60)]);
        assert_eq!(terms.closes_at(after(12)), Some(after(40)));
        assert_eq!(terms.closes_at(after(55)), Some(after(60)));
        assert_eq!(terms.closes_at(after(45)), None);
        assert_eq!(windowed(&[]).closes_at(after(12)), None);
    }

    #[test]
    fn the_order_of_windows_does_not_matter_and_an_empty_one_is_none() {
        let terms = windowed(&[(30, 40), (25, 25), (10, 20)]);
        assert_eq!(terms.opens_at(after(22)), Some(after(30)));
        assert_eq!(terms.ends_at(), Some(after(40)));
    }

    #[test]
    fn it_ends_with_the_notification_or_the_last_window_whichever_comes_first() {
        let both = |expires| Terms {
            expires_at: Some(after(expires)),
            ..windowed(&[(10, 20)])
        };
        assert_eq!(both(15).ends_at(), Some(after(15)));
        assert_eq!(both(25).ends_at(), Some(after(20)));
    }
}
