//! The status document of a batch, and its text for a person.

use serde::Deserialize;

use super::BatchId;
use crate::exit::Exit;
use crate::fail_on::{Ending, FailOn, fails};
use crate::left_out::LeftOut;
use crate::warning::{Place, Warnings};

/// The status of a batch.
#[derive(Debug, Deserialize)]
pub(crate) struct Document {
    id: String,
    #[serde(default)]
    app: String,
    pub(crate) state: State,
    pub(crate) pushes: u64,
    #[serde(default)]
    chunks: u64,
    #[serde(default)]
    invalid: u64,
    #[serde(default)]
    left_out: LeftOut,
    counts: Counts,
    #[serde(default)]
    reasons: Vec<Reason>,
    #[serde(default)]
    pub(crate) rate: f64,
    pub(crate) eta_s: Option<f64>,
    paused: Option<Paused>,
    suspect: Option<Suspect>,
    #[serde(default)]
    invalid_lines: Vec<InvalidLine>,
    #[serde(flatten)]
    warnings: Warnings,
}

/// The state of a batch.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// It is being uploaded.
    Staging,
    /// It is being sent.
    Running,
    /// It is paused until it is resumed.
    Paused,
    /// It is being cancelled: the results of pushes in flight are recorded.
    Cancelling,
    /// It was cancelled before everything was sent.
    Cancelled,
    /// Everything was sent.
    Done,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Counts {
    accepted: u64,
    rejected: u64,
    failed: u64,
    duplicate: u64,
    cancelled: u64,
    retrying: u64,
    in_flight: u64,
    waiting: u64,
    gone: u64,
}

#[derive(Debug, Deserialize)]
struct Reason {
    status: String,
    #[serde(default)]
    code: u16,
    reason: Option<String>,
    verdict: Option<String>,
    gave_up: Option<String>,
    count: u64,
}

#[derive(Debug, Deserialize)]
struct Paused {
    by: String,
    #[serde(default)]
    detail: String,
}

/// APNs refused so many pushes because of the token or the topic that the app's settings are probably wrong.
#[derive(Debug, Deserialize)]
struct Suspect {
    reason: String,
    count: u64,
}

#[derive(Debug, Deserialize)]
struct InvalidLine {
    line: u64,
    detail: String,
}

impl Document {
    /// Parses the server's document.
    ///
    /// # Errors
    /// Why it is not the status of a batch.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let document: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        // Checked here, because the id becomes part of paths.
        document.id().map(|_| document)
    }

    /// Returns the batch's id.
    ///
    /// # Errors
    /// The document has no valid id.
    pub(crate) fn id(&self) -> Result<BatchId, String> {
        self.id.parse().map_err(str::to_owned)
    }

    /// Returns the exit code of a command that waited for the batch.
    pub(crate) fn exit(&self, fail_on: &[FailOn]) -> Exit {
        match self.state {
            State::Staging | State::Running => Exit::Done,
            State::Paused | State::Cancelling | State::Cancelled => Exit::Stopped,
            State::Done if self.fails(fail_on) => Exit::Undelivered,
            State::Done => Exit::Done,
        }
    }

    fn fails(&self, fail_on: &[FailOn]) -> bool {
        if fail_on.contains(&FailOn::Never) {
            return false;
        }
        let by_reason = |reason: &Reason| {
            let ending = Ending {
                status: &reason.status,
                verdict: reason.verdict.as_deref(),
                gave_up: reason.gave_up.is_some(),
            };
            fails(ending, fail_on)
        };
        // A rejected line is a device that received nothing. If no push was accepted, a person must look at
        // it.
        self.invalid > 0
            || (self.counts.accepted == 0 && self.pushes > 0)
            || self.suspect.is_some()
            || self.reasons.iter().any(by_reason)
            || (self.reasons.is_empty() && self.counts.accepted != self.pushes)
    }

    /// Whether the batch has ended.
    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.state, State::Cancelled | State::Done)
    }

    /// Returns the number of pushes with a final receipt.
    pub(crate) const fn settled(&self) -> u64 {
        let counts = &self.counts;
        counts.accepted + counts.rejected + counts.failed + counts.duplicate + counts.cancelled
    }

    /// Describes the result of an upload. `lines` is the number of lines before the caller's own, so that
    /// line numbers match.
    pub(crate) fn staged(&self, lines: u64) -> String {
        let mut text = format!(
            "batch {}: {} pushes in {} chunks",
            self.id, self.pushes, self.chunks
        );
        if self.invalid > 0 {
            text.push_str(&format!("; {} lines are at fault and left out", self.invalid));
        }
        for invalid in &self.invalid_lines {
            let line = invalid.line.saturating_sub(lines);
            text.push_str(&format!("\n  line {line}: {}", invalid.detail));
        }
        let listed = self.invalid_lines.len() as u64;
        if listed > 0 && self.invalid > listed {
            text.push_str(&format!("\n  and {} more", self.invalid - listed));
        }
        text
    }

    /// Describes the batch that a request became because it was too large for an immediate answer.
    pub(crate) fn became(&self) -> String {
        format!(
            "{}\nwatch it with: apns-edge batch watch {}",
            self.staged(0),
            self.id
        )
    }

    /// Returns the whole document as text for a person.
    pub(crate) fn to_text(&self) -> String {
        let mut lines = vec![format!(
            "batch {} of {}: {}",
            self.id,
            self.app,
            self.state.as_str()
        )];
        if let Some(paused) = &self.paused {
            lines.push(format!("  paused by {}: {}", paused.by, paused.detail));
        }
        let counts = &self.counts;
        lines.push(count(self.pushes, "pushes"));
        let kinds = [
            (counts.accepted, "accepted"),
            (counts.rejected, "rejected"),
            (counts.gone, "of these gone"),
            (counts.failed, "failed"),
            (counts.duplicate, "left out as repeats of earlier lines"),
            (counts.cancelled, "cancelled"),
            (counts.retrying, "wait for another attempt"),
            (counts.in_flight, "in flight"),
            (counts.waiting, "waiting"),
        ];
        let there = kinds.iter().filter(|(number, _)| *number > 0);
        lines.extend(there.map(|(number, what)| count(*number, what)));
        let left_out = self.left_out.to_parts();
        // A run has no lines. It reports the reasons instead.
        if self.invalid > 0 && !self.left_out.has_unsendable() {
            lines.push(count(self.invalid, "lines left out"));
        }
        lines.extend(left_out.iter().map(|(number, reason)| count(*number, reason)));
        if self.state == State::Running {
            lines.push(format!("  {}", self.pace()));
        }
        if let Some(Suspect { reason, count }) = &self.suspect {
            lines.push(format!(
                "  suspect: {count} refused with {reason}; check the app's environment and topic, and see: apns-edge suspect {}",
                self.id
            ));
        }
        if !self.reasons.is_empty() {
            lines.push("reasons".to_owned());
            lines.extend(self.reasons.iter().map(Reason::to_line));
        }
        let warnings = self.warnings.to_lines(Place::Line(0)).into_iter();
        lines.extend(warnings.map(|warning| format!("warning: {warning}")));
        lines.join("\n")
    }

    /// Returns the progress as one line.
    pub(crate) fn progress(&self) -> String {
        let state = match self.state {
            State::Running => self.pace(),
            state => state.as_str().to_owned(),
        };
        format!("{} of {} pushes, {state}", self.settled(), self.pushes)
    }

    /// Returns the speed and the remaining time.
    pub(crate) fn pace(&self) -> String {
        let rate = format!("{:.0} pushes/s", self.rate);
        match self.eta_s {
            Some(seconds) => format!("{rate}, {} to go", duration(seconds)),
            None => rate,
        }
    }
}

impl State {
    /// Returns the state's name.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Staging => "staging",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Cancelling => "cancelling",
            Self::Cancelled => "cancelled",
            Self::Done => "done",
        }
    }
}

impl Reason {
    fn to_line(&self) -> String {
        let mut parts = vec![self.status.clone()];
        parts.extend((self.code > 0).then(|| self.code.to_string()));
        parts.extend(self.reason.clone());
        parts.extend(self.verdict.as_ref().map(|verdict| format!("({verdict})")));
        count(self.count, &parts.join(" "))
    }
}

fn count(number: u64, what: &str) -> String {
    format!("  {number:>10}  {what}")
}

/// Formats a duration in its two largest units.
pub(crate) fn duration(seconds: f64) -> String {
    // The conversion saturates.
    let seconds = seconds.round() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(state: &str, rest: &str) -> Document {
        let id = "0123456789abcdef0123456789abcdef";
        let text = format!(
            r#"{{"id":"{id}","app":"shop","state":"{state}","pushes":1000,"chunks":2,"counts":{{"accepted":990,"rejected":8,"failed":2,"gone":5}}{rest}}}"#
        );
        Document::read(&text).unwrap()
    }

    #[test]
    fn a_document_is_told_with_what_there_is() {
        let reasons = r#","reasons":[{"status":"rejected","code":410,"reason":"Unregistered","verdict":"drop_device","count":5},
            {"status":"failed","code":0,"reason":"DeadlinePassed","verdict":"unknown","count":2}],"rate":1234.5,"eta_s":3725"#;
        assert_eq!(
            document("running", reasons).to_text(),
            "batch 0123456789abcdef0123456789abcdef of shop: running\n\
             \x20       1000  pushes\n\
             \x20        990  accepted\n\
             \x20          8  rejected\n\
             \x20          5  of these gone\n\
             \x20          2  failed\n\
             \x20 1234 pushes/s, 1 h 2 min to go\n\
             reasons\n\
             \x20          5  rejected 410 Unregistered (drop_device)\n\
             \x20          2  failed DeadlinePassed (unknown)"
        );
        let warnings = r#","warnings":[{"code":"null_value","pointer":"/payload/k","detail":"is null","count":1,"lines":[2]}]"#;
        let text = document("done", warnings).to_text();
        assert!(
            text.ends_with("\nwarning: /payload/k: is null (null_value) in line 2"),
            "{text}"
        );
        let paused = r#","paused":{"by":"credential","detail":"APNs refuses the key"}"#;
        let text = document("paused", paused).to_text();
        assert!(
            text.contains("  paused by credential: APNs refuses the key\n"),
            "{text}"
        );
    }

    #[test]
    fn a_run_that_was_cut_off_says_how_many_devices_it_has_not_reached() {
        let text = document("done", r#","cut_off":"expired","left_out":{"not_reached":1200}"#).to_text();
        assert!(text.ends_with("1200  not reached before the run ended"), "{text}");
    }

    #[test]
    fn a_batch_says_what_was_left_out_and_why() {
        let text = document("done", r#","invalid":3"#).to_text();
        assert!(text.ends_with("\n           3  lines left out"), "{text}");
        let run = r#","invalid":3,"left_out":{"missing":{"frist_name":3},"frequency_cap":2}"#;
        let text = document("done", run).to_text();
        let expected = "\n           3  left out: they have no `frist_name`\n           2  left out by the frequency cap";
        assert!(text.ends_with(expected) && !text.contains("lines"), "{text}");
    }

    #[test]
    fn a_batch_that_was_likely_sent_with_the_wrong_setup_says_so() {
        let text = document("done", r#","suspect":{"reason":"BadDeviceToken","count":8}"#).to_text();
        let expected = "  suspect: 8 refused with BadDeviceToken; check the app's environment and topic, \
                        and see: apns-edge suspect 0123456789abcdef0123456789abcdef";
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn lines_at_fault_are_counted_where_the_caller_has_them() {
        let rest = r#","invalid":3,"invalid_lines":[{"line":18,"detail":"/token: is required"}]"#;
        assert_eq!(
            document("running", rest).staged(1),
            "batch 0123456789abcdef0123456789abcdef: 1000 pushes in 2 chunks; 3 lines are at fault and left out\n\
             \x20 line 17: /token: is required\n  and 2 more"
        );
    }

    #[test]
    fn a_batch_ends_as_its_pushes_did() {
        assert_eq!(document("done", "").exit(&[]), Exit::Undelivered);
        assert_eq!(document("running", "").exit(&[]), Exit::Done);
        assert_eq!(document("paused", "").exit(&[]), Exit::Stopped);
        assert_eq!(document("cancelled", "").exit(&[]), Exit::Stopped);
        let mut delivered = document("done", "");
        delivered.counts.accepted = 1000;
        assert_eq!(delivered.exit(&[]), Exit::Done);
        delivered.invalid = 1;
        assert_eq!(delivered.exit(&[]), Exit::Undelivered);
        assert_eq!(delivered.exit(&[FailOn::Never]), Exit::Done);
    }

    #[test]
    fn dead_tokens_are_no_failure_and_what_needs_a_person_is() {
        let with = |verdict: &str, rest: &str| {
            let reasons = format!(
                r#","reasons":[{{"status":"rejected","code":410,"verdict":"{verdict}","count":10{rest}}}]"#
            );
            document("done", &reasons)
        };
        let dead = with("drop_device", "");
        assert_eq!(dead.exit(&[]), Exit::Done);
        assert_eq!(dead.exit(&[FailOn::Gone]), Exit::Undelivered);
        assert_eq!(with("fix_request", "").exit(&[]), Exit::Undelivered);
        assert_eq!(with("retry", r#","gave_up":"time""#).exit(&[]), Exit::Undelivered);
        let wrong = document(
            "done",
            r#","reasons":[{"status":"rejected","verdict":"check_token","count":10}],"suspect":{"reason":"BadDeviceToken","count":10}"#,
        );
        assert_eq!(wrong.exit(&[]), Exit::Undelivered);
    }

    #[test]
    fn what_is_no_status_of_a_batch_is_told_so() {
        for text in [
            "",
            "{}",
            r#"{"id":"../..","state":"done","pushes":1,"counts":{}}"#,
        ] {
            assert!(Document::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_told_in_their_largest_units() {
        for (seconds, text) in [
            (0.4, "0 s"),
            (59.6, "1 min 0 s"),
            (3599.0, "59 min 59 s"),
            (7300.0, "2 h 1 min"),
        ] {
            assert_eq!(duration(seconds), text);
        }
        assert_eq!(duration(f64::NAN), "0 s");
    }
}
