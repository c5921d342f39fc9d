//! `foreland reload`: makes a running node read its configuration again, and says what that changed.

use super::admin_client::{Failure, post};
use super::exit;
use super::output::print;
use super::run::fail;
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
    let (status, answer) = match post(&arguments.admin, "/v1/reload", Vec::new()) {
        Ok(answered) => answered,
        Err(Failure(message)) => return fail(&message),
    };
    if status == 200 && answer["generation"].is_null() {
        return fail(&format!("{} is not the admin address of a Foreland node", arguments.admin));
    }
    if arguments.json {
        print(&format!("{answer}\n"));
    } else if status == 200 {
        print(&text(&answer));
    } else {
        eprint!("{}", refusal(&answer));
    }
    if status == 200 { ExitCode::SUCCESS } else { ExitCode::from(exit::START) }
}

fn text(answer: &Value) -> String {
    let number = |name: &str| answer[name].as_u64().unwrap_or(0);
    let millis = answer["seconds"].as_f64().unwrap_or(0.0) * 1000.0;
    let mut text = format!("generation {} → {} in {millis:.0} ms\n", number("before"), number("generation"));
    let changes = answer["changes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let word = |change: &Value, name: &str| change[name].as_str().unwrap_or_default().to_owned();
    let wide = changes.iter().map(|change| word(change, "subject").chars().count()).max().unwrap_or(0);
    for change in changes {
        text += &format!("  {:<wide$}   {}\n", word(change, "subject"), word(change, "what"));
    }
    if changes.is_empty() {
        text += "  nothing differs\n";
    }
    for warning in answer["warnings"].as_array().into_iter().flatten() {
        text += &format!("warning: {}\n", warning.as_str().unwrap_or_default());
    }
    text
}

fn refusal(answer: &Value) -> String {
    let error = answer["error"].as_str().unwrap_or_default();
    let details = answer["text"].as_str().filter(|text| *text != error).unwrap_or_default();
    let generation = match answer["generation"].as_u64() {
        Some(generation) => format!(" Generation {generation} stays in force."),
        None => String::new(),
    };
    if details.is_empty() {
        format!("error: {error}.{generation}\n")
    } else {
        format!("{details}\n{error}. Nothing was changed.{generation}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_changed_is_aligned_and_what_did_not_is_said() {
        let change = |subject: &str, what: &str| json!({ "subject": subject, "what": what });
        let changes = [change("upstream app", "+ app3:8080"), change("listener :8443", "unchanged")];
        let answer = json!({ "before": 12, "generation": 13, "seconds": 0.0412, "changes": changes });
        assert_eq!(
            text(&answer),
            "generation 12 → 13 in 41 ms\n  upstream app     + app3:8080\n  listener :8443   unchanged\n"
        );
        let same = json!({ "before": 1, "generation": 2, "seconds": 0.001, "changes": [] });
        assert_eq!(text(&same), "generation 1 → 2 in 1 ms\n  nothing differs\n");
    }

    #[test]
    fn a_refusal_says_what_stays_in_force() {
        let short = json!({ "error": "it was started without a configuration file", "generation": 1,
            "text": "it was started without a configuration file" });
        assert_eq!(
            refusal(&short),
            "error: it was started without a configuration file. Generation 1 stays in force.\n"
        );
        let long = json!({ "error": "1 error", "generation": 4, "text": "error: unknown key `a`\n" });
        assert_eq!(
            refusal(&long),
            "error: unknown key `a`\n\n1 error. Nothing was changed. Generation 4 stays in force.\n"
        );
    }
}
