//! `foreland files`: the files of a folder, useful with no configuration.

use super::run::{fail, run};
use crate::config::env::{Env, System, no_folder};
use crate::files::Settings;
use crate::net::ListenAddress;
use crate::setup::{Log, Setup};
use crate::telemetry::Format;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Arguments {
    /// The folder: /a.css is DIR/a.css, and a path that ends in a slash is the index.html there
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Where clients connect; :8080 means every address, IPv4 and IPv6
    #[arg(long, default_value = ":8080", value_name = "ADDRESS")]
    listen: ListenAddress,
    /// Show what is in a folder that has no index.html
    #[arg(long)]
    listing: bool,
    /// For an application that makes its pages in the browser: answer with /index.html what is not there
    #[arg(long)]
    spa: bool,
    /// A line on standard output for each request: json, combined or off
    #[arg(long, alias = "access-log", default_value = "json", value_name = "FORMAT")]
    log: Format,
}

/// Runs the command.
pub fn main(arguments: Arguments) -> ExitCode {
    let folder = arguments.folder.clone();
    if let Some(why) = refused(&folder) {
        return fail(&why);
    }
    let has_index = folder.join("index.html").is_file();
    let has_pages = has_index || arguments.listing;
    let setup = setup(arguments);
    run(
        async || Ok((setup, None)),
        false,
        |server| {
            for address in &server.addresses {
                log::info!("listening on {address}, serving the files of {}", folder.display());
            }
            if !has_pages {
                log::warn!("no index.html in {}: / is not found; --listing would show it", folder.display());
            }
        },
    )
}

/// Why a folder cannot be served.
fn refused(folder: &Path) -> Option<String> {
    let error = System.folder(folder).err()?;
    Some(format!("cannot serve the files of {}: {}", folder.display(), no_folder(&error)))
}

fn setup(arguments: Arguments) -> Setup {
    let settings = Settings {
        listing: arguments.listing,
        fallback: arguments.spa.then(|| "/index.html".into()),
        ..Settings::of(arguments.folder)
    };
    Setup { log: Log { format: arguments.log, file: None }, ..Setup::files(arguments.listen, settings) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::Action;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parsed(words: &[&str]) -> Arguments {
        Line::try_parse_from([&["files"], words].concat()).unwrap().arguments
    }

    #[test]
    fn a_folder_alone_is_served_as_a_configuration_would() {
        let setup = setup(parsed(&["public"]));
        assert_eq!(setup.listeners[0].bind.to_string(), ":8080");
        assert!(setup.admin.is_none() && setup.upstreams.is_empty() && !setup.compress.codings.is_empty());
        let route = &setup.routes[0];
        assert!(route.compress && route.rules.is_none() && &*route.name == "default");
        let Action::Files(settings) = &route.action else { panic!("no folder") };
        assert_eq!(*settings, Settings::of("public".into()));
    }

    #[test]
    fn options_change_what_they_name() {
        let words = ["--listing", "--spa", "--listen", "127.0.0.1:1", "--log", "off", "."];
        let setup = setup(parsed(&words));
        assert_eq!(
            (setup.listeners[0].bind.to_string(), setup.log.format),
            ("127.0.0.1:1".into(), Format::Off)
        );
        let Action::Files(settings) = &setup.routes[0].action else { panic!("no folder") };
        assert_eq!((settings.listing, settings.fallback.as_deref()), (true, Some("/index.html")));
    }

    #[test]
    fn what_is_no_folder_is_refused_with_its_name() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        assert_eq!(refused(Path::new(env!("CARGO_MANIFEST_DIR"))), None);
        assert_eq!(refused(Path::new(file)), Some(format!("cannot serve the files of {file}: it is a file")));
        let gone = "/nowhere/at/all";
        let why = "there is no such folder";
        assert_eq!(refused(Path::new(gone)), Some(format!("cannot serve the files of {gone}: {why}")));
    }
}
