//! `foreland upstreams`: which origin servers of a running node are up, which are not, since when and why.

use super::admin_client::{Failure, get};
use super::output::print;
use super::run::fail;
use crate::http::duration::human;
use serde_json::Value;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Arguments {
    /// The running node's admin address; its token, if it needs one, is read from FORELAND_ADMIN_TOKEN
    #[arg(long, default_value = "127.0.0.1:9900", value_name = "ADDRESS")]
    admin: String,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn main(arguments: Arguments) -> ExitCode {
    let (status, answer) = match get(&arguments.admin, "/v1/upstreams") {
        Ok(answered) => answered,
        Err(Failure(message)) => return fail(&message),
    };
    if status != 200 {
        let error = answer["error"].as_str().map_or_else(|| format!("status {status}"), str::to_owned);
        return fail(&format!("{}: {error}", arguments.admin));
    }
    let Some(upstreams) = answer["upstreams"].as_array() else {
        return fail(&format!("{} is not the admin address of a Foreland node", arguments.admin));
    };
    print(&if arguments.json { format!("{answer}\n") } else { text(upstreams) });
    ExitCode::SUCCESS
}

/// The columns of a server's line.
const COLUMNS: usize = 7;

fn text(upstreams: &[Value]) -> String {
    if upstreams.is_empty() {
        return "no route asks an upstream\n".to_owned();
    }
    let mut text = String::new();
    for upstream in upstreams {
        let servers = upstream["servers"].as_array().map(Vec::as_slice).unwrap_or_default();
        let up = servers.iter().filter(|server| server["state"] == "up").count();
        let (name, balance) = (word(&upstream["name"]), word(&upstream["balance"]));
        text += &format!("{name}   {balance}   {up} of {} up\n", servers.len());
        let rows: Vec<_> = servers.iter().map(row).collect();
        let wide = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; COLUMNS] = std::array::from_fn(wide);
        for row in &rows {
            let cells: Vec<_> = row.iter().zip(widths).map(|(cell, wide)| format!("{cell:<wide$}")).collect();
            text += &format!("  {}\n", cells.join("   ").trim_end());
        }
    }
    text
}

fn row(server: &Value) -> [String; COLUMNS] {
    let (name, address) = (word(&server["name"]), word(&server["address"]));
    let mut state = word(&server["state"]).to_owned();
    if server["backup"] == true {
        state += ", backup";
    }
    let active = server["connections"].as_u64().unwrap_or(0);
    let requests = match server["max_connections"].as_u64() {
        Some(most) => format!("{active} of {most} requests"),
        None => format!("{active} {}", if active == 1 { "request" } else { "requests" }),
    };
    let latency = server["latency"].as_f64().map_or_else(String::new, |s| format!("{:.1} ms", s * 1000.0));
    let error = &server["last_error"];
    let why = match (server["reason"].as_str(), error["what"].as_str()) {
        (Some(reason), _) => reason.to_owned(),
        (None, Some(what)) => {
            format!("last error {} ago: {what}", human(error["seconds"].as_u64().unwrap_or(0)))
        }
        (None, None) => String::new(),
    };
    let address = if address == name { "" } else { address };
    [
        name.to_owned(),
        address.to_owned(),
        state,
        format!("for {}", human(server["seconds"].as_u64().unwrap_or(0))),
        requests,
        latency,
        why,
    ]
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn servers_are_listed_with_their_state_and_what_ails_them() {
        let up = json!({ "name": "app1:8080", "address": "10.0.0.1:8080", "state": "up", "reason": null,
            "seconds": 7300, "backup": false, "connections": 12, "max_connections": 200, "latency": 0.0032,
            "last_error": { "seconds": 130, "what": "timeout" } });
        let down = json!({ "name": "10.0.0.2:80", "address": "10.0.0.2:80", "state": "down",
            "reason": "connection refused (3 checks failed)", "seconds": 30, "backup": true, "connections": 1,
            "max_connections": null, "latency": null, "last_error": null });
        let shown = text(&[json!({ "name": "app", "balance": "round_robin", "servers": [up, down] })]);
        let expected = "\
app   round_robin   1 of 2 up
  app1:8080     10.0.0.1:8080   up             for 2h 1m 40s   12 of 200 requests   3.2 ms   last error 2m 10s ago: timeout
  10.0.0.2:80                   down, backup   for 30s         1 request                     connection refused (3 checks failed)
";
        assert_eq!(shown, expected);
        assert_eq!(text(&[]), "no route asks an upstream\n");
    }
}
