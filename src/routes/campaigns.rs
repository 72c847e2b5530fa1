//! `/v1/campaigns` in the Worker: parses requests and sends commands to the scheduler.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use crate::objects::{audience, batch, scheduler};
use crate::platform::log::Event;
use crate::platform::{clock, http};
use crate::routes::audiences;
use crate::routes::push::{self, Written};
use api::audience as audience_contract;
use api::batch::{BatchAction, BatchRequest};
use api::campaign as contract;
use api::campaign::document;
use api::campaign::query::{Filter, RunRange};
use api::campaign::test_send::{self, TestSend};
use api::campaign::variables;
use api::config::{App, Caller, Config};
use api::format::Format;
use api::problem::{Kind, Problem};
use api::route::CampaignEndpoint;
use api::{Answer, SendRequest, auth, batch as batches, preview};
use campaign::audience::{Command as ShardCommand, Reply as ShardReply, StoredDevice};
use campaign::scheduler::{Audience, Campaign, CampaignAction, Command, Page, Reply};
use campaign::template::Recipient;
use futures::stream::{self, StreamExt, TryStreamExt};
use worker::{Context, Env, Request, Response};

/// The caller and the deployment of a request.
#[derive(Clone, Copy)]
pub(crate) struct RequestContext<'v> {
    pub(crate) caller: &'v Caller,
    pub(crate) config: &'static Config,
    pub(crate) env: &'v Env,
    pub(crate) context: &'v Context,
}

/// Handles `GET /v1/campaigns`.
pub(crate) async fn list(query: &str, visit: RequestContext<'_>) -> Result<Answer, Problem> {
    let filter = Filter::parse(query).map_err(Problem::invalid)?;
    match ask(visit.env, &filter.command(visit.caller)).await? {
        Reply::Campaigns(campaigns) => Ok(document::list(campaigns.iter())),
        _ => Err(unavailable()),
    }
}

/// Handles `POST /v1/campaigns`.
pub(crate) async fn create(request: &mut Request, visit: RequestContext<'_>) -> Result<Answer, Problem> {
    let key = crate::routes::batches::idempotency_key(request)?;
    let body = http::read_body(request, contract::MAX_BODY).await?;
    let id = match &key {
        Some(key) => contract::named_id(&visit.caller.name, key),
        None => batches::id(clock::seed()),
    };
    // A repeated request is answered before its body is parsed: the campaign's time may have passed by now.
    if key.is_some()
        && let Some(known) = known_campaign(&id, visit).await?
    {
        return if known.fingerprint.as_deref() == Some(&contract::fingerprint(&body)) {
            Ok(document::created(&known))
        } else {
            Err(refusal(&Reply::Taken))
        };
    }
    make(&body, &id, visit).await
}

/// Creates the campaign in a request's body.
async fn make(body: &[u8], id: &str, visit: RequestContext<'_>) -> Result<Answer, Problem> {
    let campaign = written(body, id, visit).await?;
    let campaign = campaign_of(ask(visit.env, &Command::Create(Box::new(campaign))).await?)?;
    Ok(document::created(&campaign))
}

/// Returns the campaign with this id. Returns `None` if there is none that the caller may use.
async fn known_campaign(id: &str, visit: RequestContext<'_>) -> Result<Option<Campaign>, Problem> {
    match read(id, visit).await {
        Ok(campaign) => Ok(Some(campaign)),
        Err(problem) if problem.kind() == Kind::CampaignNotFound => Ok(None),
        Err(problem) => Err(problem),
    }
}

/// Handles `PUT /v1/campaigns/{id}`: replaces the campaign, or creates one with the caller's own name.
async fn put(request: &mut Request, id: &str, visit: RequestContext<'_>) -> Result<Answer, Problem> {
    let known = known_campaign(id, visit).await?;
    let body = http::read_body(request, contract::MAX_BODY).await?;
    let Some(known) = known else {
        contract::check_own_name(id)?;
        return make(&body, id, visit).await;
    };
    if known.fingerprint.as_deref() == Some(&contract::fingerprint(&body)) {
        return Ok(document::answer(&known));
    }
    let mut written = written(&body, id, visit).await?;
    written.created_at = known.created_at;
    let replaced = ask(visit.env, &Command::Replace(Box::new(written))).await?;
    Ok(document::answer(&*campaign_of(replaced)?))
}

/// Handles the routes below `/v1/campaigns/{id}`.
pub(crate) async fn answer(
    request: &mut Request,
    id: &str,
    endpoint: CampaignEndpoint,
    visit: RequestContext<'_>,
) -> Result<Response, Problem> {
    if endpoint == CampaignEndpoint::Replace {
        return respond(put(request, id, visit).await?);
    }
    let campaign = read(id, visit).await?;
    let id = || campaign.id.clone();
    let action = match endpoint {
        CampaignEndpoint::Read => return respond(document::answer(&campaign)),
        CampaignEndpoint::Replace => return Err(not_found()),
        CampaignEndpoint::Delete => {
            return match ask(visit.env, &Command::Delete { id: id() }).await? {
                Reply::Done => respond(nothing()),
                reply => Err(refusal(&reply)),
            };
        }
        CampaignEndpoint::Runs => {
            let range = RunRange::parse(&http::query(request)).map_err(Problem::invalid)?;
            let runs = Command::Runs {
                id: id(),
                before: range.before,
                limit: range.limit,
            };
            return match ask(visit.env, &runs).await? {
                Reply::Runs(page) => respond(document::runs(&with_left_out(page, visit).await)),
                reply => Err(refusal(&reply)),
            };
        }
        CampaignEndpoint::Test | CampaignEndpoint::Preview => {
            return send_or_preview(request, &campaign, endpoint, visit).await;
        }
        CampaignEndpoint::Schedule => CampaignAction::Schedule,
        CampaignEndpoint::Pause => CampaignAction::Pause,
        CampaignEndpoint::Resume => CampaignAction::Resume,
        CampaignEndpoint::Cancel => CampaignAction::Cancel,
    };
    let changed = campaign_of(ask(visit.env, &Command::ChangeState { id: id(), action }).await?)?;
    let mut answer = document::answer(&changed);
    if action == CampaignAction::Cancel && !is_stopped(&campaign, visit).await? {
        answer.status = 202;
    }
    respond(answer)
}

/// Adds to each run that has not reported its end how many devices it has left out so far. Its batch has the
/// number.
async fn with_left_out(mut page: Page, visit: RequestContext<'_>) -> Page {
    let open = page.runs.iter_mut().filter(|run| run.is_known_to_its_batch());
    let asked = open.take(MOST_OPEN_RUNS).map(|run| async move {
        // Without an answer the run is listed without it.
        if let Ok(left_out) = batch::left_out(visit.env, &run.batch).await {
            run.left_out = left_out;
        }
    });
    stream::iter(asked)
        .buffer_unordered(AT_ONCE)
        .collect::<()>()
        .await;
    page
}

/// Whether nothing more is sent for a cancelled campaign, once its batches were notified.
///
/// The scheduler also notifies the batches. Here the caller learns whether sending has stopped.
async fn is_stopped(campaign: &Campaign, visit: RequestContext<'_>) -> Result<bool, Problem> {
    let stopping = Command::Stopping {
        id: campaign.id.clone(),
        limit: MOST_RUNS,
    };
    let page = match ask(visit.env, &stopping).await? {
        Reply::Runs(page) => page,
        reply => return Err(refusal(&reply)),
    };
    let is_all = page.cursor.is_none();
    let stopping = page.runs;
    let stopped = stream::iter(stopping).map(|run| async move {
        let caller = visit.caller.clone();
        let action = BatchAction::Cancel;
        let cancelled = batch::ask(visit.env, &run.batch, &BatchRequest { caller, action }).await;
        match cancelled.map(|response| response.status_code()) {
            Ok(200 | 409) => true,
            // A 404 means that the batch was deleted, or that it does not exist yet and may be about to be
            // opened.
            Ok(404) => run.started_at.is_some(),
            Ok(_) | Err(_) => false,
        }
    });
    // All batches are notified, whatever the first ones answer.
    let stopped = stopped.buffer_unordered(AT_ONCE);
    Ok(stopped.fold(is_all, |all, one| async move { all && one }).await)
}

/// Parses the campaign in a request's body, for an audience that the caller may use.
async fn written(body: &[u8], id: &str, visit: RequestContext<'_>) -> Result<Campaign, Problem> {
    let document = contract::parse(body)?;
    let name = contract::audience(&document)?;
    let audience = audience_of(name, visit)
        .await
        .map_err(|problem| match problem.kind() {
            Kind::AudienceNotFound => contract::no_audience(),
            _ => problem,
        })?;
    let app = app_of(&audience.app, visit.config)?;
    let mut campaign = contract::read(id, &document, app, visit.config, clock::now())?;
    campaign.fingerprint = Some(contract::fingerprint(body));
    // Without an answer the campaign is created without the warning.
    if let Some(members) = sample(&campaign, &audience, visit).await {
        variables::warn(&mut campaign, app, &members, clock::now())?;
    }
    Ok(campaign)
}

/// Returns the devices whose attributes are checked when a campaign is written: those of the segment among
/// the first of a shard.
async fn sample(
    campaign: &Campaign,
    audience: &Audience,
    visit: RequestContext<'_>,
) -> Option<Vec<StoredDevice>> {
    let audience = audience.reference();
    let (after, limit) = (0, variables::SAMPLE);
    let page = ShardCommand::Page { after, limit };
    let Ok(ShardReply::Page { members, .. }) = audience::ask(visit.env, &audience, 0, &page).await else {
        return None;
    };
    let Some(question) = variables::question(campaign, &members, clock::now()) else {
        return Some(members);
    };
    match audience::ask(visit.env, &audience, 0, &ShardCommand::Judge(question)).await {
        Ok(ShardReply::Judged(judged)) => Some(variables::in_segment(members, &judged)),
        _ => None,
    }
}

/// Renders the campaign for a few named devices. Returns the result or sends it at once.
async fn send_or_preview(
    request: &mut Request,
    campaign: &Campaign,
    endpoint: CampaignEndpoint,
    visit: RequestContext<'_>,
) -> Result<Response, Problem> {
    let body = http::read_body(request, contract::MAX_BODY).await?;
    let refs = test_send::refs(&body)?;
    let audience = audience_of(&campaign.audience, visit).await?;
    let members = find(&audience, &refs, visit).await?;
    let recipients: Vec<Recipient<'_>> = members
        .iter()
        .map(|(_, member)| Recipient::of(&member.device))
        .collect();
    let app = app_of(&campaign.app, visit.config)?;
    let now = clock::now();
    if endpoint == CampaignEndpoint::Preview {
        let test_send = TestSend::of(campaign, app, &refs, &recipients, now)?;
        test_send.check_names()?;
        let reasons = reasons(campaign, &audience, &members, visit).await?;
        let shown = if test_send.rendered.is_empty() {
            r#"{"pushes":[]}"#.to_owned()
        } else {
            let send_request = SendRequest::parse_for(
                app,
                test_send.send_request.as_bytes(),
                Format::JSON,
                clock::seed(),
                now,
            )?;
            preview::answer(&send_request, visit.config)?.body
        };
        return respond(test_send.judged(&shown, &recipients, &reasons));
    }
    let body = test_send::send_request(campaign, app, &refs, &recipients, now)?.into_bytes();
    let written = Written {
        app,
        body,
        format: Format::JSON,
        wait: TRIAL_WAIT,
        reservation: None,
    };
    push::at_once(written, recipients.len(), visit.config, visit.env, visit.context).await
}

/// Returns why a run that is due now would not reach these devices, for each device that it would not.
async fn reasons(
    campaign: &Campaign,
    audience: &Audience,
    members: &[(u32, StoredDevice)],
    visit: RequestContext<'_>,
) -> Result<Vec<Option<&'static str>>, Problem> {
    let mut by_shard: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    for (shard, member) in members {
        by_shard.entry(*shard).or_default().push(member.id);
    }
    let asked = stream::iter(by_shard).map(|(shard, ids)| async move {
        let judge = ShardCommand::Judge(contract::run::judge(campaign, ids, clock::now()));
        let judged = audience::ask(visit.env, &audience.reference(), shard, &judge).await;
        judged
            .map(|reply| (shard, reply))
            .map_err(|error| audiences::failed(audience, &error.to_string()))
    });
    let judged: BTreeMap<u32, ShardReply> = asked.buffer_unordered(AT_ONCE).try_collect().await?;
    let reason = |(shard, member): &(u32, StoredDevice)| match judged.get(shard) {
        Some(ShardReply::Judged(judged)) if judged.outside.contains(&member.id) => Some(test_send::OUTSIDE),
        Some(ShardReply::Judged(judged)) if judged.capped.contains(&member.id) => Some(test_send::CAPPED),
        _ => None,
    };
    Ok(members.iter().map(reason).collect())
}

/// Finds the devices with these refs, each with its shard.
async fn find(
    audience: &Audience,
    refs: &[String],
    visit: RequestContext<'_>,
) -> Result<Vec<(u32, StoredDevice)>, Problem> {
    let refs = refs.to_vec();
    let find = ShardCommand::Find { refs };
    let reference = audience.reference();
    let replies = audience::ask_each(visit.env, &reference, &find);
    let mut replies = pin!(replies);
    let (mut found, mut shards) = (Vec::new(), 0..audience.shards);
    while let Some(reply) = replies.next().await {
        let reply = reply.map_err(|error| audiences::failed(audience, &error.to_string()))?;
        // Replies come in the order of the shards.
        let shard = shards.next().unwrap_or_default();
        if let ShardReply::Found { members } = reply {
            found.extend(members.into_iter().map(|member| (shard, member)));
        }
        test_send::check_found(found.len())?;
    }
    Ok(found)
}

/// Returns the campaign if the caller may use it. Otherwise fails as if it did not exist.
async fn read(id: &str, visit: RequestContext<'_>) -> Result<Campaign, Problem> {
    // An id that no campaign can have sends no request.
    if batches::seed(id).is_none() && !contract::is_own_name(id) {
        return Err(not_found());
    }
    let campaign = campaign_of(ask(visit.env, &Command::Read { id: id.to_owned() }).await?)?;
    if visit.caller.reaches(&campaign.app) {
        Ok(*campaign)
    } else {
        Err(not_found())
    }
}

/// Returns the audience if the caller may use it and it is not being deleted. Otherwise fails as if it did
/// not exist.
pub(crate) async fn audience_of(name: &str, visit: RequestContext<'_>) -> Result<Audience, Problem> {
    let audience = known(name, visit).await?;
    if audience.is_deleting {
        return Err(no_audience());
    }
    Ok(audience)
}

/// Returns the audience if the caller may use it, even while it is being deleted. Otherwise fails as if it
/// did not exist.
pub(crate) async fn known(name: &str, visit: RequestContext<'_>) -> Result<Audience, Problem> {
    let name = name.to_owned();
    match ask(visit.env, &Command::Audience { name }).await? {
        Reply::Audience(audience) if visit.caller.reaches(&audience.app) => Ok(audience),
        Reply::Audience(_) | Reply::Missing => Err(no_audience()),
        _ => Err(unavailable()),
    }
}

/// Returns the app from the current configuration.
pub(crate) fn app_of<'c>(name: &str, config: &'c Config) -> Result<&'c App, Problem> {
    auth::find_app(name, config)
}

/// Sends a command to the scheduler.
pub(crate) async fn ask(env: &Env, command: &Command) -> Result<Reply, Problem> {
    scheduler::ask(env, command).await.map_err(|error| {
        let problem = error.to_string();
        Event::SchedulerFailed { problem: &problem }.write();
        unavailable()
    })
}

fn campaign_of(reply: Reply) -> Result<Box<Campaign>, Problem> {
    match reply {
        Reply::Campaign(campaign) => Ok(campaign),
        reply => Err(refusal(&reply)),
    }
}

/// Converts the scheduler's refusal to a problem.
fn refusal(reply: &Reply) -> Problem {
    contract::refusal(reply).unwrap_or_else(unavailable)
}

pub(crate) fn respond(answer: Answer) -> Result<Response, Problem> {
    http::response(answer).map_err(|error| Problem::new(Kind::Unavailable, error.to_string()))
}

/// Returns an empty answer.
pub(crate) fn nothing() -> Answer {
    Answer {
        status: 204,
        ..Answer::json(String::new())
    }
}

pub(crate) fn no_audience() -> Problem {
    audience_contract::not_found()
}

fn not_found() -> Problem {
    Problem::new(Kind::CampaignNotFound, "there is no such campaign")
}

pub(crate) fn unavailable() -> Problem {
    Problem::new(Kind::Unavailable, "the scheduler or the audience did not answer").retry_after_ms(1000)
}

/// The maximum number of batches that are notified before a cancel is answered. The scheduler notifies the
/// rest.
const MOST_RUNS: u32 = 1000;

/// The maximum number of batches that are asked for their left-out devices in a list of runs. Few of a
/// campaign's runs are in progress.
const MOST_OPEN_RUNS: usize = 100;

/// The number of batches that are asked at once: an invocation has six connections.
const AT_ONCE: usize = 5;

/// How long resends of a test send may take: as long as those of a push.
const TRIAL_WAIT: Duration = Duration::from_secs(20);
