//! The figures of a batch: what was seen, and what follows from it.

use std::time::Duration;

use super::log::Story;
use super::price::{self, Line, Measured};
use crate::arguments::BatchArguments;
use crate::figures::{count, milliseconds};
use crate::usage::Member;

/// What a run gave.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) arguments: BatchArguments,
    /// From the first byte of the upload to its answer.
    pub(super) upload: Duration,
    /// From the seal to the last receipt, as the batch says.
    pub(super) send: Duration,
    /// From the upload's answer to the first push that APNs took.
    pub(super) first: Duration,
    pub(super) memory: Looks,
    /// The isolate's wasm memory before the upload, in KB.
    pub(super) wasm_kb_idle: u64,
    /// Processor time by process, most first.
    pub(super) cpu: Vec<(String, Duration)>,
    /// What the Worker's workerd used of it to the end of the upload.
    pub(super) cpu_uploading: Duration,
    /// That of the APNs server.
    pub(super) server: Duration,
    /// Connections that were open at the end.
    pub(super) connections: u64,
    /// How often the benchmark asked the Worker how the batch stands.
    pub(super) questions: u32,
    pub(super) story: Story,
    /// What was not as it must be.
    pub(super) faults: Vec<String>,
}

/// The time of the workerd that used most.
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

    /// Processor time of the whole tree, in microseconds a push.
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

    /// The isolate's memory before the upload and at its most, in bytes: what V8 has, and the wasm memory.
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

/// Memory before the upload, at its end, and at the end of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Looks {
    pub(super) idle: Memory,
    pub(super) uploaded: Memory,
    pub(super) ended: Memory,
}

/// Memory of the process that runs the Worker, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) resident: u64,
    /// What of that is no file's.
    pub(super) anonymous: u64,
    /// The most since the start.
    pub(super) peak: u64,
    /// The most that V8 had for the Worker's isolate since the last look.
    pub(super) isolate: u64,
    /// What wrangler's own workerd has, through which requests come in.
    pub(super) proxy: u64,
}

impl Memory {
    /// At a look. The Worker's process is the workerd that has used most processor time at the end.
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

/// The processor time of each process between two looks, most first. The workerd that used most is the Worker's.
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
