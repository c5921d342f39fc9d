//! What an operator sees of the origin servers: `GET /v1/upstreams`.

use crate::plan::Plan;
use crate::telemetry::timestamp;
use crate::upstream::{ClusterState, LastError, ServerState};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// Every cluster that a route names, by name.
pub(super) fn json(plan: &Plan) -> Value {
    let now = SystemTime::now();
    let mut clusters: Vec<_> = plan.clusters().into_iter().map(|cluster| cluster.state()).collect();
    clusters.sort_by(|one, other| one.name.cmp(&other.name));
    json!({ "upstreams": clusters.iter().map(|state| cluster(state, now)).collect::<Vec<_>>() })
}

fn cluster(state: &ClusterState, now: SystemTime) -> Value {
    json!({
        "name": &*state.name,
        "balance": state.settings.balance.as_str(),
        "servers": state.servers.iter().map(|state| server(state, now)).collect::<Vec<_>>(),
    })
}

/// What does not apply is null. Times are given twice: for the record, and in seconds before now.
fn server(state: &ServerState, now: SystemTime) -> Value {
    json!({
        "name": &*state.name,
        "address": state.endpoint.as_ref().map(ToString::to_string),
        "state": state.state.as_str(),
        "reason": state.reason.as_deref(),
        "since": moment(state.since),
        "seconds": ago(state.since, now),
        "weight": state.weight,
        "backup": state.backup,
        "connections": state.active,
        "max_connections": state.most,
        "latency": state.latency.map(|latency| latency.as_secs_f64()),
        "last_error": state.last_error.as_ref().map(|error| last_error(error, now)),
    })
}

fn last_error(error: &LastError, now: SystemTime) -> Value {
    json!({ "at": moment(error.at), "seconds": ago(error.at, now), "what": error.what })
}

fn moment(time: SystemTime) -> String {
    let millis = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    timestamp::utc(u64::try_from(millis).unwrap_or(u64::MAX))
}

fn ago(time: SystemTime, now: SystemTime) -> u64 {
    now.duration_since(time).unwrap_or_default().as_secs()
}
