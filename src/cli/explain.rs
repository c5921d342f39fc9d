//! `foreland explain`: what becomes of a request, and why, without sending it.

use super::admin_client::{Failure, post};
use super::output::print;
use super::run::fail;
use super::{check, exit};
use crate::cache::Cache;
use crate::config;
use crate::edge::unix_time;
use crate::explain::{Given, Question, Request, dry as unopened, explain};
use serde_json::{Map, Value, json};
use std::io::IsTerminal;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Arguments {
    /// The configuration
    #[arg(short, long, default_value = "conf/foreland.yaml", value_name = "FILE", conflicts_with = "admin")]
    config: PathBuf,
    /// Ask a running node at this admin address instead, which also knows what is stored
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<String>,
    /// The method
    #[arg(short = 'X', long, default_value = "GET", value_name = "METHOD")]
    method: String,
    /// A field of the request; give it again for more of them
    #[arg(short = 'H', long, value_name = "NAME: VALUE", value_parser = field)]
    header: Vec<(String, String)>,
    /// The client's address
    #[arg(long, value_name = "ADDRESS")]
    client: Option<IpAddr>,
    /// The request's URL, absolute
    url: String,
    /// The status that the origin answers with
    #[arg(long, value_name = "STATUS", value_parser = clap::value_parser!(u16).range(200..=599))]
    status: Option<u16>,
    /// A field of the origin's answer; give it again for more of them
    #[arg(long, value_name = "NAME: VALUE", value_parser = field)]
    response_header: Vec<(String, String)>,
    /// How old the origin's answer is already, in seconds
    #[arg(long, value_name = "SECONDS")]
    age: Option<u32>,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn main(arguments: Arguments) -> ExitCode {
    match &arguments.admin {
        Some(admin) => live(admin, &arguments),
        None => dry(&arguments),
    }
}

fn dry(arguments: &Arguments) -> ExitCode {
    let (setup, loaded) = match config::load(&arguments.config) {
        Ok(read) => read,
        Err(refused) => return check::refuse(&refused, false),
    };
    check::warn(&loaded);
    let request = Request::new(&arguments.method, &arguments.url, &arguments.header, arguments.client);
    let request = match request {
        Ok(request) => request,
        Err(why) => return fail(&why),
    };
    let response = match response(arguments) {
        Ok(response) => response,
        Err(why) => return fail(&why),
    };
    let question = Question { request, response };
    let (plan, cache) = (unopened(&setup), Cache::new(setup.cache));
    let mut explained = explain(&plan, &cache, &question, unix_time().as_secs());
    // Nothing runs here: nothing is stored.
    explained.now = None;
    if arguments.json {
        print(&format!("{}\n", explained.json()));
    } else {
        print(&explained.text(std::io::stdout().is_terminal() && check::wants_color()));
    }
    ExitCode::SUCCESS
}

fn response(arguments: &Arguments) -> Result<Option<Given>, String> {
    let asked =
        arguments.status.is_some() || arguments.age.is_some() || !arguments.response_header.is_empty();
    let given = || Given::new(arguments.status.unwrap_or(200), arguments.response_header.clone());
    let age = arguments.age.map(u64::from);
    asked.then(|| given().map(|given| given.aged(age))).transpose()
}

/// The same question to a running node.
fn live(admin: &str, arguments: &Arguments) -> ExitCode {
    let pairs = |fields: &[(String, String)]| fields.iter().map(|(n, v)| json!([n, v])).collect::<Vec<_>>();
    let mut question = Map::new();
    question.insert("method".into(), arguments.method.clone().into());
    question.insert("url".into(), arguments.url.clone().into());
    question.insert("headers".into(), pairs(&arguments.header).into());
    question.extend(arguments.client.map(|client| ("client".to_owned(), client.to_string().into())));
    let given = match response(arguments) {
        Ok(given) => given,
        Err(why) => return fail(&why),
    };
    if let Some(given) = given {
        let given = json!({ "status": given.status, "headers": pairs(&given.fields) });
        question.insert("response".into(), given);
    }
    let body = Value::Object(question).to_string().into_bytes();
    match post(admin, "/v1/explain", body) {
        Err(Failure(why)) => fail(&why),
        Ok((200, answer)) if answer["text"].is_null() => {
            fail(&format!("{admin} is not the admin address of a Foreland node"))
        }
        Ok((200, answer)) if arguments.json => {
            print(&format!("{answer}\n"));
            ExitCode::SUCCESS
        }
        Ok((200, answer)) => {
            print(answer["text"].as_str().unwrap_or_default());
            ExitCode::SUCCESS
        }
        Ok((_, answer)) => {
            eprintln!("error: {}", answer["error"].as_str().unwrap_or("the node refused the question"));
            ExitCode::from(exit::START)
        }
    }
}

/// `Name: value`, as curl takes it.
fn field(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().into(), value.trim().into())),
        _ => Err("write it as `Name: value`".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_read_as_curl_reads_it() {
        let pair = |name: &str, value: &str| Ok((name.to_owned(), value.to_owned()));
        assert_eq!(field("Cookie: a=b; c=d"), pair("Cookie", "a=b; c=d"));
        assert_eq!(field("X-Time:12:30"), pair("X-Time", "12:30"));
        assert_eq!(field("X-Empty:"), pair("X-Empty", ""));
        assert!(field("Cookie").is_err() && field(": a").is_err());
    }
}
