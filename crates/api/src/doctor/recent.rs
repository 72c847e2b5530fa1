//! Results of probes that are recent enough to be told again: bounds the connections that examinations open.

use std::time::Duration;

use super::Probe;
use apns::Environment;
use apns::time::Timestamp;

/// What an isolate remembers of its probes.
#[derive(Debug, Default)]
pub struct RecentProbes {
    done: Vec<Done>,
    /// When the probes began that are under way.
    running: Vec<(Environment, Timestamp)>,
}

#[derive(Debug)]
struct Done {
    environment: Environment,
    at: Timestamp,
    probes: Vec<Probe>,
}

/// What an examination does about an environment.
#[derive(Debug)]
pub enum Probing {
    /// It tells what was found a moment ago.
    Known(Vec<Probe>),
    /// It probes, and hands the results to [`RecentProbes::finish`].
    Begin,
    /// It refuses: enough others are probing.
    Busy,
}

impl RecentProbes {
    /// Decides for an environment; a probe that has not finished after `longest` counts no more.
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

    /// Remembers what was found about an environment.
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

/// How long results are told again: a monitor asks less often, and a person waits.
pub(super) const KEPT: Duration = Duration::from_secs(5);

/// The most examinations of an isolate that probe an environment at once.
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
