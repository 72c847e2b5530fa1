//! The status document of a batch, and its text for a person.

use documents::Batch;
use documents::batch::{BatchState, ResultCount, Suspect};

use super::BatchId;
use crate::exit::Exit;
use crate::fail_on::{Ending, FailOn, fails};
use crate::warning::{self, Place};
use crate::{invalid, left_out};

/// The status of a batch.
#[derive(Debug)]
pub(crate) struct Document(Batch);

impl Document {
    /// Parses the server's document.
    ///
    /// # Errors
    /// Why it is not the status of a batch.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let document = Self(serde_json::from_str(text).map_err(|error| error.to_string())?);
        // Checked here, because the id becomes part of paths.
        document.id().map(|_| document)
    }

    /// Returns the batch's id.
    ///
    /// # Errors
    /// The document has no valid id.
    pub(crate) fn id(&self) -> Result<BatchId, String> {
        self.0.id.parse().map_err(str::to_owned)
    }

    /// Its state.
    pub(crate) const fn state(&self) -> &BatchState {
        &self.0.state
    }

    /// How many pushes it has.
    pub(crate) const fn pushes(&self) -> u64 {
        self.0.pushes
    }

    /// Returns the exit code of a command that waited for the batch.
    pub(crate) fn exit(&self, fail_on: &[FailOn]) -> Exit {
        match self.0.state {
            BatchState::Staging | BatchState::Running | BatchState::Other(_) => Exit::Done,
            BatchState::Paused | BatchState::Cancelling | BatchState::Cancelled => Exit::Stopped,
            BatchState::Done if self.fails(fail_on) => Exit::Undelivered,
            BatchState::Done => Exit::Done,
        }
    }

    fn fails(&self, fail_on: &[FailOn]) -> bool {
        if fail_on.contains(&FailOn::Never) {
            return false;
        }
        let by_reason = |reason: &ResultCount| {
            let ending = Ending {
                status: &reason.status,
                verdict: Some(&reason.verdict),
                gave_up: reason.gave_up.is_some(),
            };
            fails(ending, fail_on)
        };
        // A rejected line is a device that received nothing. If no push was accepted, a person must look at
        // it.
        self.0.invalid > 0
            || (self.0.counts.accepted == 0 && self.0.pushes > 0)
            || self.0.suspect.is_some()
            || self.0.reasons.iter().any(by_reason)
            || (self.0.reasons.is_empty() && self.0.counts.accepted != self.0.pushes)
    }

    /// Whether the batch has ended.
    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.0.state, BatchState::Cancelled | BatchState::Done)
    }

    /// Returns the number of pushes with a final receipt.
    pub(crate) const fn settled(&self) -> u64 {
        let counts = &self.0.counts;
        counts.accepted + counts.rejected + counts.failed + counts.duplicate + counts.cancelled
    }

    /// Describes the result of an upload. `lines` is the number of lines before the caller's own, so that
    /// line numbers match.
    pub(crate) fn staged(&self, lines: u64) -> String {
        let mut text = format!(
            "batch {}: {} pushes in {} chunks",
            self.0.id, self.0.pushes, self.0.chunks
        );
        if self.0.invalid > 0 {
            text.push_str(&format!("; {} lines are at fault and left out", self.0.invalid));
        }
        let mut listed = self.0.invalid_lines.len() as u64;
        if self.0.invalid > listed && !self.0.invalid_kinds.is_empty() {
            for line in invalid::to_lines(&self.0.invalid_kinds, |line| line.saturating_sub(lines)) {
                text.push('\n');
                text.push_str(&line);
            }
            listed = invalid::count(&self.0.invalid_kinds);
        } else {
            for invalid in &self.0.invalid_lines {
                let line = invalid.line.saturating_sub(lines);
                text.push_str(&format!("\n  line {line}: {}", invalid.detail));
            }
        }
        if listed > 0 && self.0.invalid > listed {
            text.push_str(&format!("\n  and {} more", self.0.invalid - listed));
        }
        text
    }

    /// Describes the batch that a request became because it was too large for an immediate answer.
    pub(crate) fn became(&self) -> String {
        format!(
            "{}\nwatch it with: apns-edge batch watch {}",
            self.staged(0),
            self.0.id
        )
    }

    /// Returns the whole document as text for a person.
    pub(crate) fn to_text(&self) -> String {
        let mut lines = vec![format!("batch {} of {}: {}", self.0.id, self.0.app, self.0.state)];
        if let Some(paused) = &self.0.paused {
            lines.push(format!("  paused by {}: {}", paused.by, paused.detail));
        }
        if self.0.deleting {
            lines.push("  it is deleted as soon as its webhook has got all deliveries".to_owned());
        }
        if let Some(cut_off) = &self.0.cut_off {
            let detail = self.0.cut_off_detail.iter().map(|detail| format!(": {detail}"));
            let detail: String = detail.collect();
            lines.push(format!(
                "  cut off before all devices were reached ({cut_off}){detail}"
            ));
        }
        let counts = &self.0.counts;
        lines.push(count(self.0.pushes, "pushes"));
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
        let parts = left_out::to_parts(&self.0.left_out);
        // A run has no lines. It reports the reasons instead.
        if self.0.invalid > 0 && !self.0.left_out.has_unsendable() {
            lines.push(count(self.0.invalid, "lines left out"));
        }
        lines.extend(parts.iter().map(|(number, reason)| count(*number, reason)));
        if self.0.state == BatchState::Running {
            lines.push(format!("  {}", self.pace()));
        }
        if let Some(Suspect { reason, count }) = &self.0.suspect {
            lines.push(format!(
                "  suspect: {count} refused with {reason}; check the app's environment and topic, and see: apns-edge suspect {}",
                self.0.id
            ));
        }
        if !self.0.reasons.is_empty() {
            lines.push("reasons".to_owned());
            lines.extend(self.0.reasons.iter().map(reason_line));
        }
        let warnings = warning::to_lines(&self.0.warnings, Place::Line(0)).into_iter();
        lines.extend(warnings.map(|warning| format!("warning: {warning}")));
        lines.join("\n")
    }

    /// Returns the progress as one line.
    pub(crate) fn progress(&self) -> String {
        format!(
            "{} of {} pushes, {}",
            self.settled(),
            self.0.pushes,
            self.activity()
        )
    }

    /// What it does now, in a few words.
    pub(crate) fn activity(&self) -> String {
        match self.0.state {
            BatchState::Running => self.pace(),
            _ => self.0.state.to_string(),
        }
    }

    /// How fast it is, and how long it will take; or when its window opens.
    fn pace(&self) -> String {
        if let Some(opens_at) = &self.0.opens_at {
            return format!("waits until its window opens at {opens_at}");
        }
        let rate = format!("{} pushes/s", self.0.rate);
        match self.0.eta_s {
            Some(seconds) => format!("{rate}, {} to go", duration(seconds)),
            None => rate,
        }
    }
}

fn reason_line(reason: &ResultCount) -> String {
    let mut parts = vec![reason.status.clone()];
    parts.extend((reason.code > 0).then(|| reason.code.to_string()));
    parts.extend(reason.reason.clone());
    parts.push(format!("({})", reason.verdict));
    parts.extend(reason.gave_up.as_ref().map(|why| format!("given up: {why}")));
    count(reason.count, &parts.join(" "))
}

fn count(number: u64, what: &str) -> String {
    format!("  {number:>10}  {what}")
}

/// A duration in its two largest units.
pub(crate) fn duration(seconds: u64) -> String {
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
            {"status":"failed","code":0,"reason":"DeadlinePassed","verdict":"unknown","count":2}],"rate":1234,"eta_s":3725"#;
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
        assert!(
            text.contains("\n  cut off before all devices were reached (expired)\n"),
            "{text}"
        );
    }

    #[test]
    fn a_batch_whose_window_is_closed_says_when_it_opens() {
        let closed = document("running", r#","rate":0,"opens_at":"2026-12-02T08:00:00.000Z""#);
        let expected = "waits until its window opens at 2026-12-02T08:00:00.000Z";
        assert!(closed.to_text().contains(expected), "{}", closed.to_text());
        assert!(closed.progress().ends_with(expected));
    }

    #[test]
    fn a_state_that_is_not_known_yet_is_told_and_not_over() {
        let archived = document("archived", "");
        assert!(archived.to_text().contains(" of shop: archived\n"));
        assert!(!archived.is_over());
        assert_eq!(archived.exit(&[]), Exit::Done);
    }

    #[test]
    fn more_lines_at_fault_than_are_listed_are_summed_up() {
        let rest = r#","invalid":3,"invalid_lines":[{"line":18,"detail":"/token: is required"}],"invalid_kinds":[{"pointer":"/token","detail":"is required","count":3,"lines":[18,20,21]}]"#;
        let text = document("running", rest).staged(1);
        assert!(
            text.ends_with("left out\n  3 lines: /token: is required (lines 17, 19, 20)"),
            "{text}"
        );
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
        delivered.0.counts.accepted = 1000;
        assert_eq!(delivered.exit(&[]), Exit::Done);
        delivered.0.invalid = 1;
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
            (0, "0 s"),
            (60, "1 min 0 s"),
            (3599, "59 min 59 s"),
            (7300, "2 h 1 min"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }
}
