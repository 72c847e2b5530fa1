//! Runs named checks: each prints its result and duration, the first failure ends the run, and a table sums
//! up.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use comfy_table::{Table, presets};

use crate::tally::Tally;

/// The checks of a run so far.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    done: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    name: &'static str,
    passed: bool,
    tests: Tally,
    took: Duration,
}

impl Steps {
    /// Runs a check and returns its value. An error is shown and ends the run.
    pub(crate) fn run<T>(
        &mut self,
        name: &'static str,
        check: impl FnOnce(&mut Tally) -> Result<T>,
    ) -> Result<T> {
        println!("== {name}");
        let started = Instant::now();
        let mut tests = Tally::default();
        let outcome = check(&mut tests);
        let took = started.elapsed();
        self.done.push(Step {
            name,
            passed: outcome.is_ok(),
            tests,
            took,
        });
        match outcome {
            Ok(value) => {
                println!("   ok, {}", seconds(took));
                Ok(value)
            }
            Err(error) => {
                println!("   failed after {}: {error:#}", seconds(took));
                println!("{}", self.summary());
                bail!("{name} failed");
            }
        }
    }

    /// Returns a table of the checks. Its last line has the totals of their tests.
    pub(crate) fn summary(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_header(["step", "result", "tests", "time"]);
        let mut total = Tally::default();
        for Step {
            name,
            passed,
            tests,
            took,
        } in &self.done
        {
            total.add(*tests);
            let result = if *passed { "ok" } else { "FAILED" };
            let count = if tests.ran() == 0 {
                String::new()
            } else {
                tests.ran().to_string()
            };
            table.add_row([(*name).to_owned(), result.to_owned(), count, seconds(*took)]);
        }
        format!("\n{table}\n{total}")
    }
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f32())
}

#[cfg(test)]
mod tests {
    use super::Steps;

    #[test]
    fn the_last_line_totals_the_tests_of_all_steps() {
        let mut steps = Steps::default();
        for _ in 0..2 {
            steps
                .run("some tests", |tests| {
                    tests.read("test result: ok. 3 passed; 0 failed; 0 ignored");
                    Ok(())
                })
                .unwrap();
        }
        assert_eq!(steps.summary().lines().last(), Some("6 passed, 0 failed"));
    }

    #[test]
    fn a_failed_step_is_an_error_and_is_in_the_summary() {
        let mut steps = Steps::default();
        let outcome = steps.run("some lint", |_| -> anyhow::Result<()> {
            anyhow::bail!("not tidy")
        });
        assert_eq!(outcome.unwrap_err().to_string(), "some lint failed");
        assert!(steps.summary().contains("FAILED"));
    }
}
