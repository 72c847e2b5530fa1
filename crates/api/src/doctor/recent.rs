//! Caches the results of probes for some seconds, which limits the connections that calls of the doctor open.

use std::time::Duration;

use super::Probe;
use apns::Environment;
use apns::time::Timestamp;

/// The recent probes of an isolate.
#[derive(Debug, Default)]
pub struct RecentProbes {
    done: Vec<Done>,
    /// When the running probes began.
    running: Vec<(Environment, Timestamp)>,
}

#[derive(Debug)]
struct Done {
    environment: Environment,
    at: Timestamp,
    probes: Vec<Probe>,
}

/// How a call of the doctor handles an environment.
#[derive(Debug)]
pub enum Probing {
    /// Return these recent results.
    Known(Vec<Probe>),
    /// Probe, and pass the results to [`RecentProbes::finish`].
    Begin,
    /// Refuse, because too many calls are probing.
    Busy,
}

impl RecentProbes {
    /// Decides about an environment. A probe that has not finished after `longest` no longer counts.
    pub fn begin(&mut self, environment: Environment, longest: Duration, now: Timestamp) -> Probing {
        self.done.retain(|done| now.since(done.at) < KEPT);
        if let Some(done) = self.done.iter().find(|done| done.environment == environment) {
            return Probing::Known(done.probes.clone());
        }
        self.running.retain(|(_, at)| now.since(*at) < longest);
        let same = self.running.iter().filter(|(other, _)| *other == environment);
        if same.count() >= MAX_RUNNING {
            return Probing::Busy;
        }
        self.running.push((environment, now));
        Probing::Begin
    }

    /// Stores the results for an environment.
    pub fn finish(&mut self, environment: Environment, probes: Vec<Probe>, now: Timestamp) {
        let first = self.running.iter().position(|(other, _)| *other == environment);
        if let Some(first) = first {
            self.running.remove(first);
        }
        self.done.retain(|done| done.environment != environment);
        self.done.push(Done {
            environment,
            at: now,
            probes,
        });
    }
}

/// How long results are reused: less than a monitor's interval, and longer than a person's repeated clicks.
pub(super) const KEPT: Duration = Duration::from_secs(5);

/// The most calls per environment of an isolate that probe at once.
pub(super) const MAX_RUNNING: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use Environment::{Production, Sandbox};

    const NOW: Timestamp = Timestamp::from_secs(1_795_420_800);
    const LONGEST: Duration = Duration::from_secs(20);

    fn begins(recent: &mut RecentProbes, environment: Environment, now: Timestamp) -> bool {
        matches!(recent.begin(environment, LONGEST, now), Probing::Begin)
    }

    #[test]
    fn results_are_told_again_for_a_moment() {
        let mut recent = RecentProbes::default();
        assert!(begins(&mut recent, Production, NOW));
        recent.finish(Production, Vec::new(), NOW);
        let known = |recent: &mut RecentProbes, now| {
            matches!(recent.begin(Production, LONGEST, now), Probing::Known(_))
        };
        assert!(known(&mut recent, NOW + KEPT - Duration::from_millis(1)));
        assert!(begins(&mut recent, Sandbox, NOW));
        assert!(begins(&mut recent, Production, NOW + KEPT));
    }

    #[test]
    fn only_so_many_probe_at_once_and_one_that_died_is_forgotten() {
        let mut recent = RecentProbes::default();
        for _ in 0..MAX_RUNNING {
            assert!(begins(&mut recent, Production, NOW));
        }
        let busy =
            |recent: &mut RecentProbes, now| matches!(recent.begin(Production, LONGEST, now), Probing::Busy);
        assert!(busy(&mut recent, NOW + LONGEST - Duration::from_millis(1)));
        assert!(begins(&mut recent, Sandbox, NOW));
        assert!(begins(&mut recent, Production, NOW + LONGEST));
    }
}
