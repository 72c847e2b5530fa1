//! Generates wrangler's configuration (wrangler.toml) for a built Worker.

use anyhow::{Context, Result};
use toml::{Table, Value};

/// The suffix of the names of dead-letter queues.
const DEAD: &str = "-dead-letters";

/// The binding of the objects of batches.
const BATCH: &str = "BATCH";

/// The configuration of a Worker's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// The most messages per delivery.
    pub delivery: u32,
    /// Whether the Worker can send to the queue. Otherwise every send fails.
    pub takes: bool,
    /// The number of queues for chunks.
    pub shards: u32,
    /// How often a message is delivered again before it becomes a dead letter.
    pub retries: u32,
    /// Whether the Worker can find the objects of batches. Otherwise no message can be handled.
    pub finds_batches: bool,
}

impl Default for Queue {
    /// Returns the configuration in wrangler.toml.
    fn default() -> Self {
        Self {
            delivery: 1,
            takes: true,
            shards: 1,
            retries: 20,
            finds_batches: true,
        }
    }
}

impl Queue {
    /// Returns the configuration that wrangler.toml recommends for a transport.
    pub fn of_transport(transport: Option<&str>) -> Self {
        let delivery = if transport == Some("socket") { 32 } else { 1 };
        Self {
            delivery,
            ..Self::default()
        }
    }
}

/// Returns wrangler.toml without its build command, and with this queue.
pub(super) fn configuration(file: &str, queue: Queue) -> Result<String> {
    let mut table: Table = toml::from_str(file)?;
    table.remove("build");
    let queues = table.get_mut("queues").and_then(Value::as_table_mut);
    let queues = queues.context("wrangler.toml has no queues")?;
    if !queue.takes {
        queues.insert("producers".to_owned(), Value::Array(Vec::new()));
    }
    for consumer in array(queues, "consumers")?
        .iter_mut()
        .filter_map(Value::as_table_mut)
    {
        let name = consumer.get("queue").and_then(Value::as_str).unwrap_or_default();
        if !name.ends_with(DEAD) {
            consumer.insert("max_batch_size".to_owned(), queue.delivery.into());
            consumer.insert("max_retries".to_owned(), queue.retries.into());
        }
    }
    for number in 2..=queue.shards {
        let name = format!("apns-edge-pushes-{number}");
        let mut producer = Table::new();
        producer.insert("binding".to_owned(), format!("PUSHES_{number}").into());
        producer.insert("queue".to_owned(), name.clone().into());
        array(queues, "producers")?.push(producer.into());
        let mut consumer = Table::new();
        consumer.insert("queue".to_owned(), name.into());
        consumer.insert("max_batch_size".to_owned(), queue.delivery.into());
        consumer.insert("max_batch_timeout".to_owned(), 0.into());
        array(queues, "consumers")?.push(consumer.into());
    }
    if !queue.finds_batches {
        let objects = table.get_mut("durable_objects").and_then(Value::as_table_mut);
        let objects = objects.context("wrangler.toml has no objects")?;
        array(objects, "bindings")?
            .retain(|binding| binding.get("name").and_then(Value::as_str) != Some(BATCH));
    }
    Ok(table.to_string())
}

fn array<'t>(table: &'t mut Table, name: &str) -> Result<&'t mut Vec<Value>> {
    let array = table.get_mut(name).and_then(Value::as_array_mut);
    array.with_context(|| format!("wrangler.toml has no {name}"))
}

#[cfg(test)]
mod tests {
    use super::{Queue, configuration};
    use std::fs;
    use toml::Table;

    fn project() -> String {
        fs::read_to_string(crate::root().join("wrangler.toml")).unwrap()
    }

    fn with(queue: Queue) -> Table {
        toml::from_str(&configuration(&project(), queue).unwrap()).unwrap()
    }

    #[test]
    fn the_usual_queue_leaves_the_configuration_as_it_is_but_builds_nothing() {
        let mut expected: Table = toml::from_str(&project()).unwrap();
        expected.remove("build").unwrap();
        assert_eq!(with(Queue::default()), expected);
    }

    #[test]
    fn each_wish_for_the_queue_changes_the_configuration() {
        let usual = with(Queue::default());
        let wide = with(Queue::of_transport(Some("socket")));
        assert_eq!(
            wide["queues"]["consumers"][0]["max_batch_size"].as_integer(),
            Some(32)
        );
        assert_eq!(wide["queues"]["consumers"][1], usual["queues"]["consumers"][1]);
        let changed = with(Queue {
            takes: false,
            shards: 3,
            retries: 1,
            finds_batches: false,
            ..Queue::default()
        });
        let length = |table: &Table, group: &str, name: &str| table[group][name].as_array().unwrap().len();
        assert_eq!(length(&changed, "queues", "producers"), 2);
        assert_eq!(
            length(&changed, "queues", "consumers"),
            length(&usual, "queues", "consumers") + 2
        );
        assert_eq!(
            changed["queues"]["consumers"][0]["max_retries"].as_integer(),
            Some(1)
        );
        assert_eq!(
            length(&changed, "durable_objects", "bindings") + 1,
            length(&usual, "durable_objects", "bindings")
        );
    }
}
