//! `/v1/audiences` in the Worker: finds the audience in the scheduler and sends commands to its shards.

use std::collections::BTreeMap;

use crate::objects::audience;
use crate::platform::body_reader::BodyReader;
use crate::platform::log::{self, Event};
use crate::platform::{clock, http};
use crate::routes::campaigns::{
    RequestContext, app_of, ask, audience_of, known, no_audience, nothing, respond, unavailable,
};
use api::Answer;
use api::audience as contract;
use api::audience::{
    AudienceSpec, AudienceView, DeviceRange, Export, Form, Intake, Next, Removal, ShardBatch, Tally, Totals,
};
use api::format::LINES;
use api::problem::{Kind, Problem};
use api::route::AudienceEndpoint;
use campaign::audience::{Command as ShardCommand, CountFault, Counter, Reply as ShardReply};
use campaign::scheduler::{Audience, Command, Reply};
use campaign::segment::Segment;
use futures::stream::{self, StreamExt};
use worker::{Env, Headers, Request, Response, ResponseBuilder};

/// Handles `GET /v1/audiences`.
pub(crate) async fn list(visit: RequestContext<'_>) -> Result<Answer, Problem> {
    match ask(visit.env, &Command::Audiences).await? {
        Reply::Audiences(audiences) => {
            let theirs = audiences
                .iter()
                .filter(|audience| visit.caller.reaches(&audience.app));
            Ok(contract::list(&theirs.map(described).collect::<Vec<_>>()))
        }
        _ => Err(unavailable()),
    }
}

/// Handles the routes below `/v1/audiences/{name}`.
pub(crate) async fn answer(
    request: &mut Request,
    name: &str,
    endpoint: AudienceEndpoint,
    visit: RequestContext<'_>,
) -> Result<Response, Problem> {
    if endpoint == AudienceEndpoint::Put {
        return respond(put(request, name, visit).await?);
    }
    if endpoint == AudienceEndpoint::Delete {
        return respond(delete(&known(name, visit).await?, visit.env).await?);
    }
    let audience = audience_of(name, visit).await?;
    match endpoint {
        AudienceEndpoint::Put | AudienceEndpoint::Read | AudienceEndpoint::Delete => {
            respond(read(&audience, visit.env).await?)
        }
        AudienceEndpoint::Export => export(request, audience, visit.env),
        AudienceEndpoint::Import => respond(import(request, &audience, visit).await?),
        AudienceEndpoint::Remove => respond(remove(request, &audience, visit.env).await?),
        AudienceEndpoint::Count => {
            let body = http::read_body(request, MAX_BODY).await?;
            let segment = contract::read_count(&body)?;
            let counted = count(&audience, segment.as_ref(), visit.env).await?;
            respond(contract::count(&audience.name, &Totals::of(counted)))
        }
    }
}

async fn put(request: &mut Request, name: &str, visit: RequestContext<'_>) -> Result<Answer, Problem> {
    let body = http::read_body(request, MAX_BODY).await?;
    let spec = AudienceSpec::read(name, &body, visit.caller, visit.config)?;
    let wanted = Audience {
        name: name.to_owned(),
        app: spec.app.name.clone(),
        shards: spec.shards,
        created_at: clock::now(),
        is_deleting: false,
    };
    match ask(visit.env, &Command::PutAudience(wanted)).await? {
        Reply::Created(audience) => Ok(Answer {
            status: 201,
            ..contract::document(&described(&audience), None)
        }),
        Reply::Audience(audience) => Ok(contract::document(&described(&audience), None)),
        Reply::Conflict(audience) if visit.caller.reaches(&audience.app) => Err(if audience.is_deleting {
            contract::deleting()
        } else {
            contract::conflict(&described(&audience))
        }),
        // Does not reveal the owner.
        Reply::Conflict(_) => Err(Problem::new(Kind::AudienceConflict, "the name is taken")),
        Reply::Full { scope, limit } => Err(contract::full(scope, limit)),
        _ => Err(unavailable()),
    }
}

async fn read(audience: &Audience, env: &Env) -> Result<Answer, Problem> {
    let mut totals = Totals::of(count(audience, None, env).await?);
    for reply in ask_shards(audience, &ShardCommand::Zones, env).await? {
        totals.add(reply);
    }
    Ok(contract::document(&described(audience), Some(&totals)))
}

/// Deletes all devices and then the audience. If the devices could not be deleted, the audience accepts only
/// another delete.
async fn delete(audience: &Audience, env: &Env) -> Result<Answer, Problem> {
    let name = || audience.name.clone();
    forgettable(&ask(env, &Command::DeleteAudience { name: name() }).await?)?;
    wipe(audience, env).await?;
    forgettable(&ask(env, &Command::ForgetAudience { name: name() }).await?)?;
    Ok(nothing())
}

async fn wipe(audience: &Audience, env: &Env) -> Result<(), Problem> {
    let wiped = audience::wipe(env, &audience.reference()).await;
    wiped.map_err(|error| failed(audience, &error.to_string()))
}

fn forgettable(reply: &Reply) -> Result<(), Problem> {
    match reply {
        Reply::Audience(_) | Reply::Missing => Ok(()),
        Reply::InUse { campaigns } => {
            let campaign = campaigns.first().map(String::as_str).unwrap_or_default();
            Err(contract::in_use(campaign))
        }
        _ => Err(unavailable()),
    }
}

/// Imports devices while the body arrives.
async fn import(
    request: &mut Request,
    audience: &Audience,
    visit: RequestContext<'_>,
) -> Result<Answer, Problem> {
    let started = clock::now();
    let app = app_of(&audience.app, visit.config)?;
    let form = Form::of(http::header(request, "content-type").as_deref());
    let mut intake = Intake::new(app, audience.shards, form);
    let mut delivered = Tally::default();
    if let Some(mut body) = BodyReader::of(request, http::coding(request)?).map_err(|_| broken_off())? {
        while let Some(piece) = body.next().await.map_err(|error| error.or(broken_off))? {
            intake.feed(&piece)?;
            deliver(audience, intake.take_ready(), &mut delivered, visit.env).await?;
        }
    }
    let (last, read) = intake.finish()?;
    deliver(audience, last, &mut delivered, visit.env).await?;
    let tally = read.with(&delivered);
    stays(audience, visit.env).await?;
    Event::DevicesImported {
        app: &audience.app,
        audience: &audience.name,
        received: tally.received,
        invalid: tally.invalid,
        memory_kb: log::memory_kb(),
        ms: clock::millis_since(started),
    }
    .write();
    Ok(contract::imported(&audience.name, &tally))
}

/// Whether the audience still exists after an import. Its shards accept nothing more once its devices were
/// removed.
async fn stays(audience: &Audience, env: &Env) -> Result<(), Problem> {
    let name = audience.name.clone();
    match ask(env, &Command::Audience { name }).await? {
        Reply::Audience(there) if there == *audience => Ok(()),
        Reply::Audience(_) | Reply::Missing => Err(no_audience()),
        _ => Err(unavailable()),
    }
}

/// Removes the devices that the body names, while it arrives.
async fn remove(request: &mut Request, audience: &Audience, env: &Env) -> Result<Answer, Problem> {
    let mut removal = Removal::new(audience.shards);
    let mut delivered = Tally::default();
    if let Some(mut body) = BodyReader::of(request, http::coding(request)?).map_err(|_| broken_off())? {
        while let Some(piece) = body.next().await.map_err(|error| error.or(broken_off))? {
            removal.feed(&piece)?;
            deliver(audience, removal.take_ready(), &mut delivered, env).await?;
        }
    }
    let (last, read) = removal.finish()?;
    deliver(audience, last, &mut delivered, env).await?;
    Ok(contract::removed(&audience.name, &read.with(&delivered)))
}

/// Sends the batches to the shards. Those for one shard are sent one after the other, in order.
async fn deliver(
    audience: &Audience,
    batches: Vec<ShardBatch>,
    tally: &mut Tally,
    env: &Env,
) -> Result<(), Problem> {
    let mut by_shard: BTreeMap<u32, Vec<ShardCommand>> = BTreeMap::new();
    for batch in batches {
        by_shard.entry(batch.shard).or_default().push(batch.command);
    }
    let mut delivered = stream::iter(by_shard)
        .map(|(shard, commands)| async move {
            let mut tally = Tally::default();
            for command in commands {
                let reply = audience::ask(env, &audience.reference(), shard, &command).await;
                match reply.map_err(|error| failed(audience, &error.to_string()))? {
                    ShardReply::Deleted => return Err(no_audience()),
                    reply => tally.add(&reply),
                }
            }
            Ok(tally)
        })
        .buffer_unordered(AT_ONCE);
    while let Some(more) = delivered.next().await {
        *tally = std::mem::take(tally).with(&more?);
    }
    Ok(())
}

/// Streams the devices page by page.
fn export(request: &Request, audience: Audience, env: &Env) -> Result<Response, Problem> {
    let range = DeviceRange::parse(&http::query(request)).map_err(Problem::invalid)?;
    let reader = Reader {
        export: Export::new(range, audience.shards),
        audience,
        env: env.clone(),
    };
    let pages = stream::try_unfold(reader, |mut reader| async move {
        let text = reader.next().await?;
        Ok::<_, worker::Error>(text.map(|text| (text.into_bytes(), reader)))
    });
    let headers = Headers::new();
    for (name, value) in [("content-type", LINES), ("cache-control", "no-store")] {
        headers.set(name, value).map_err(|_| unavailable())?;
    }
    let response = ResponseBuilder::new().with_headers(headers);
    response.from_stream(Box::pin(pages)).map_err(|_| unavailable())
}

/// Reads pages of devices for an export.
struct Reader {
    export: Export,
    audience: Audience,
    env: Env,
}

impl Reader {
    /// Returns the next lines. Returns `None` after the last.
    async fn next(&mut self) -> worker::Result<Option<String>> {
        match self.export.turn() {
            None => Ok(None),
            Some(Next::End(line)) => Ok(Some(line)),
            Some(Next::Ask(shard, page)) => {
                match audience::ask(&self.env, &self.audience.reference(), shard, &page).await {
                    Ok(ShardReply::Page { members, more }) => Ok(Some(self.export.take(&members, more))),
                    Ok(_) => Err("a shard answered something else".into()),
                    Err(error) => {
                        // The caller only sees that the answer breaks off.
                        failed(&self.audience, &error.to_string());
                        Err(error)
                    }
                }
            }
        }
    }
}

async fn count(audience: &Audience, segment: Option<&Segment>, env: &Env) -> Result<Counter, Problem> {
    let counted = audience::count(env, &audience.reference(), segment).await;
    counted.map_err(|fault| match fault {
        CountFault::TooManyRequests => Problem::new(Kind::InvalidRequest, fault.to_string()),
        CountFault::Shard(problem) => failed(audience, &problem),
    })
}

async fn ask_shards(
    audience: &Audience,
    command: &ShardCommand,
    env: &Env,
) -> Result<Vec<ShardReply>, Problem> {
    audience::ask_all(env, &audience.reference(), command)
        .await
        .map_err(|error| failed(audience, &error.to_string()))
}

fn described(audience: &Audience) -> AudienceView<'_> {
    AudienceView {
        name: &audience.name,
        app: &audience.app,
        shards: audience.shards,
        created_at: audience.created_at,
    }
}

fn broken_off() -> Problem {
    let detail = "the body broke off; what had come of it is done, and all of it can be sent again";
    Problem::new(Kind::NotJson, detail)
}

/// Logs that a shard failed and returns the problem for the caller.
pub(crate) fn failed(audience: &Audience, problem: &str) -> Problem {
    let audience = audience.name.as_str();
    Event::AudienceFailed { audience, problem }.write();
    unavailable()
}

/// The maximum size of a request body that is not streamed: the largest segment.
const MAX_BODY: usize = 256 * 1024;

/// The number of shards that get devices at once: an invocation has six connections.
const AT_ONCE: usize = 5;
