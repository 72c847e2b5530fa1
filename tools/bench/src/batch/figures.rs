//! The figures of a batch: measured values, and values derived from them.

use std::time::Duration;

use super::log::Story;
use super::price::{self, Line, Measured};
use crate::arguments::BatchArguments;
use crate::figures::{count, milliseconds};
use crate::usage::Member;

/// The values of a run.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) arguments: BatchArguments,
    /// The time from the first byte of the upload to its answer.
    pub(super) upload: Duration,
    /// The time from the seal to the last receipt, as the batch reports it.
    pub(super) send: Duration,
    /// The time from the upload's answer to the first push that APNs accepted.
    pub(super) first: Duration,
    pub(super) memory: Looks,
    /// The isolate's wasm memory before the upload, in KB.
    pub(super) wasm_kb_idle: u64,
    /// CPU time by process, largest first.
    pub(super) cpu: Vec<(String, Duration)>,
    /// The CPU time of the Worker's workerd until the end of the upload.
    pub(super) cpu_uploading: Duration,
    /// The CPU time of the APNs server.
    pub(super) server: Duration,
    /// The connections that were open at the end.
    pub(super) connections: u64,
    /// How often the benchmark polled the batch's status.
    pub(super) questions: u32,
    pub(super) story: Story,
    /// The faults that were found.
    pub(super) faults: Vec<String>,
}

/// Returns the CPU time of the workerd that used most.
pub(super) fn of_the_worker(spent: &[(String, Duration)]) -> Duration {
    let first = spent.iter().find(|(program, _)| program.starts_with(WORKERD));
    first.map(|(_, spent)| *spent).unwrap_or_default()
}

impl Figures {
    pub(super) fn pushes(&self) -> f64 {
        count(self.arguments.pushes)
    }

    pub(super) fn wall(&self) -> Duration {
        self.upload + self.send
    }

    /// Returns the CPU time of the whole process tree, in microseconds per push.
    pub(super) fn cpu_us(&self) -> f64 {
        let spent: Duration = self.cpu.iter().map(|(_, spent)| *spent).sum();
        self.us_a_push(spent)
    }

    pub(super) fn us_a_push(&self, spent: Duration) -> f64 {
        spent.as_secs_f64() * 1e6 / self.pushes()
    }

    pub(super) fn rate(&self, time: Duration) -> f64 {
        self.pushes() / time.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// Returns the isolate's memory before the upload and its maximum, in bytes: V8's and the wasm memory.
    pub(super) fn isolate(&self) -> (u64, u64) {
        let Looks {
            idle,
            uploaded,
            ended,
        } = &self.memory;
        let most = uploaded.isolate.max(ended.isolate);
        (
            idle.isolate + 1000 * self.wasm_kb_idle,
            most + 1000 * self.story.wasm_kb_most,
        )
    }

    pub(super) fn bill(&self) -> Vec<Line> {
        let of_workerd = self
            .cpu
            .iter()
            .filter(|(program, _)| program.starts_with(WORKERD));
        let cpu: Duration = of_workerd.map(|(_, spent)| *spent).sum();
        price::bill(&Measured {
            story: &self.story,
            cpu_ms: milliseconds(cpu),
            upload_s: self.upload.as_secs_f64(),
            send_s: self.send.as_secs_f64(),
            connections: self.connections,
        })
    }
}

/// The memory before the upload, at its end, and after the last receipt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Looks {
    pub(super) idle: Memory,
    pub(super) uploaded: Memory,
    pub(super) ended: Memory,
}

/// The memory of the Worker's process, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) resident: u64,
    /// The part that does not belong to files.
    pub(super) anonymous: u64,
    /// The maximum since the start.
    pub(super) peak: u64,
    /// The maximum that V8 had for the Worker's isolate since the last measurement.
    pub(super) isolate: u64,
    /// The memory of wrangler's own workerd, through which requests arrive.
    pub(super) proxy: u64,
}

impl Memory {
    /// Returns the memory at a measurement. The Worker's process is the workerd with the most CPU time at the
    /// end.
    pub(super) fn of_the_worker(look: &[Member], end: &[Member], isolate: u64) -> Self {
        let workerd = |member: &&Member| member.program == WORKERD;
        let busiest = end.iter().filter(workerd).max_by_key(|member| member.usage.cpu);
        let mut memory = Self {
            isolate,
            ..Self::default()
        };
        for member in look.iter().filter(workerd) {
            if busiest.is_some_and(|busiest| busiest.id == member.id) {
                memory.resident = member.usage.resident;
                memory.anonymous = member.usage.anonymous;
                memory.peak = member.usage.peak;
            } else {
                memory.proxy += member.usage.resident;
            }
        }
        memory
    }
}

/// Returns the CPU time of each process between two measurements, largest first. The workerd with the most is
/// the Worker's.
pub(super) fn processes(before: &[Member], after: &[Member]) -> Vec<(String, Duration)> {
    let mut spent: Vec<(String, Duration)> = after
        .iter()
        .map(|member| {
            let known = before.iter().find(|known| known.id == member.id);
            let earlier = known.map(|known| known.usage.cpu).unwrap_or_default();
            (member.program.clone(), member.usage.cpu.saturating_sub(earlier))
        })
        .filter(|(_, spent)| !spent.is_zero())
        .collect();
    spent.sort_by_key(|(_, spent)| std::cmp::Reverse(*spent));
    let mut runs_the_worker = true;
    for (program, _) in &mut spent {
        if program == WORKERD {
            let role = if runs_the_worker {
                "the Worker"
            } else {
                "wrangler's proxy"
            };
            *program = format!("{WORKERD}, {role}");
            runs_the_worker = false;
        }
    }
    spent
}

/// The program that runs Workers.
const WORKERD: &str = "workerd";

#[cfg(test)]
mod tests {
    use super::{Memory, processes};
    use crate::usage::{Member, Usage};
    use std::time::Duration;

    fn member(id: u32, program: &str, cpu_ms: u64) -> Member {
        let usage = Usage {
            cpu: Duration::from_millis(cpu_ms),
            peak: 2_000_000,
            resident: 1_000_000,
            anonymous: 500_000,
        };
        Member {
            id,
            program: program.to_owned(),
            usage,
        }
    }

    #[test]
    fn a_process_counts_from_the_first_look_on_and_the_busier_workerd_is_the_workers() {
        let before = [member(1, "node", 5), member(2, "workerd", 10)];
        let after = [
            member(1, "node", 7),
            member(2, "workerd", 11),
            member(3, "workerd", 40),
            member(4, "sh", 0),
        ];
        let spent = processes(&before, &after);
        let ms = |ms| Duration::from_millis(ms);
        let expected = [
            ("workerd, the Worker".to_owned(), ms(40)),
            ("node".to_owned(), ms(2)),
            ("workerd, wrangler's proxy".to_owned(), ms(1)),
        ];
        assert_eq!(spent, expected);
        let memory = Memory::of_the_worker(&after, &after, 7);
        let expected = Memory {
            resident: 1_000_000,
            anonymous: 500_000,
            peak: 2_000_000,
            isolate: 7,
            proxy: 1_000_000,
        };
        assert_eq!(memory, expected);
        // Before the other one was there.
        assert_eq!(Memory::of_the_worker(&before, &after, 0).resident, 0);
    }
}
