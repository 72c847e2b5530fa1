//! The scheduler's rows: one table each for audiences, campaigns, their documents, and runs.

use serde::de::DeserializeOwned;

use super::{Audience, Campaign, Run, SchedulerState};
use apns::time::Timestamp;
use delivery::machine::Loaded;
use delivery::sql::{Row, Statement};

impl SchedulerState {
    /// Returns the statements that create the tables if they do not exist.
    #[must_use]
    pub fn schema() -> Vec<Statement> {
        vec![
            Statement::new(
                "CREATE TABLE IF NOT EXISTS audiences (name TEXT PRIMARY KEY, audience TEXT NOT NULL) STRICT",
            ),
            Statement::new(
                "CREATE TABLE IF NOT EXISTS campaigns (id TEXT PRIMARY KEY, campaign TEXT NOT NULL) STRICT",
            ),
            Statement::new(
                "CREATE TABLE IF NOT EXISTS documents (id TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT",
            ),
            Statement::new(
                "CREATE TABLE IF NOT EXISTS runs (campaign TEXT NOT NULL, at INTEGER NOT NULL, run TEXT NOT NULL, \
                 PRIMARY KEY (campaign, at)) STRICT",
            ),
        ]
    }

    /// Returns the statement that reads the rows for [`SchedulerState::load`].
    #[must_use]
    pub const fn select() -> Statement {
        Statement::new(
            "SELECT 'audience', name, 0, audience FROM audiences \
             UNION ALL SELECT 'campaign', id, 0, campaign FROM campaigns \
             UNION ALL SELECT 'document', id, 0, document FROM documents \
             UNION ALL SELECT 'run', campaign, at, run FROM runs",
        )
    }

    /// Loads the stored state. A row that cannot be read is skipped and reported as the fault; it stays as it
    /// is.
    #[must_use]
    pub fn load(rows: &[Row]) -> Loaded<Self> {
        let (mut scheduler, mut fault) = (Self::default(), None);
        for row in rows {
            if let Err(error) = scheduler.take(row) {
                fault = Some(error);
            }
        }
        Loaded {
            machine: scheduler,
            fault,
        }
    }

    /// Returns the statements that store the changes since the last call.
    ///
    /// Runs are written before the campaigns whose `seen` includes them: if a later statement fails, the runs
    /// are created again, and none is lost. Documents are written first too, because a campaign exists only
    /// with its document.
    pub fn take_changes(&mut self) -> Vec<Statement> {
        let changed = std::mem::take(&mut self.changed);
        let audiences = changed
            .audiences
            .into_iter()
            .map(|name| match self.audiences.get(&name) {
                Some(audience) => {
                    Statement::new("INSERT OR REPLACE INTO audiences (name, audience) VALUES (?, ?)")
                        .bind(name)
                        .bind(serde_json::to_string(audience).unwrap_or_default())
                }
                None => Statement::new("DELETE FROM audiences WHERE name = ?").bind(name),
            });
        let campaigns = changed
            .campaigns
            .into_iter()
            .map(|id| match self.campaigns.get(&id) {
                Some(campaign) => {
                    Statement::new("INSERT OR REPLACE INTO campaigns (id, campaign) VALUES (?, ?)")
                        .bind(id)
                        .bind(serde_json::to_string(&campaign.summary()).unwrap_or_default())
                }
                None => Statement::new("DELETE FROM campaigns WHERE id = ?").bind(id),
            });
        let documents = changed
            .documents
            .into_iter()
            .map(|id| match self.campaigns.get(&id) {
                Some(campaign) => {
                    Statement::new("INSERT OR REPLACE INTO documents (id, document) VALUES (?, ?)")
                        .bind(id)
                        .bind(campaign.document.clone())
                }
                None => Statement::new("DELETE FROM documents WHERE id = ?").bind(id),
            });
        let runs = changed.runs.into_iter().map(|key| {
            let run = self.runs.get(&key);
            let (campaign, at) = key;
            match run {
                Some(run) => {
                    Statement::new("INSERT OR REPLACE INTO runs (campaign, at, run) VALUES (?, ?, ?)")
                        .bind(campaign)
                        .bind(at)
                        .bind(serde_json::to_string(run).unwrap_or_default())
                }
                None => Statement::new("DELETE FROM runs WHERE campaign = ? AND at = ?")
                    .bind(campaign)
                    .bind(at),
            }
        });
        audiences.chain(runs).chain(documents).chain(campaigns).collect()
    }

    fn take(&mut self, row: &Row) -> Result<(), String> {
        let bad = |error: delivery::sql::BadRow| error.to_string();
        let (kind, name) = (row.text(0).map_err(bad)?, row.text(1).map_err(bad)?);
        let at: Timestamp = row.moment(2).map_err(bad)?;
        let text = row.text(3).map_err(bad)?;
        match kind {
            "audience" => {
                let audience: Audience = read(kind, name, text)?;
                self.audiences.insert(name.to_owned(), audience);
            }
            "campaign" => {
                let campaign: Campaign = read(kind, name, text)?;
                self.campaigns.insert(name.to_owned(), campaign);
            }
            "document" => {
                // A document without a campaign was not stored completely, or its campaign cannot be read.
                if let Some(campaign) = self.campaigns.get_mut(name) {
                    text.clone_into(&mut campaign.document);
                }
            }
            _ => {
                let (key, run): (_, Run) = ((name.to_owned(), at), read(kind, name, text)?);
                if run.is_busy() {
                    self.busy.insert(key.clone());
                }
                self.runs.insert(key, run);
            }
        }
        Ok(())
    }
}

fn read<T: DeserializeOwned>(kind: &str, name: &str, text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| format!("{kind} {name}: {error}"))
}
