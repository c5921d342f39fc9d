//! Tells a person how the tests of rule files went.

use super::runner::{Failure, Ran};
use std::fmt::Write;

/// Where the place of a failing test begins.
const PLACE: usize = 64;

/// The tests of several files.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Name of each file, and its tests.
    pub files: Vec<(String, Vec<Ran>)>,
}

impl Report {
    /// Every test.
    pub fn all(&self) -> impl Iterator<Item = &Ran> {
        self.files.iter().flat_map(|(_, tests)| tests)
    }

    /// How many went as expected.
    pub fn passed(&self) -> usize {
        self.all().filter(|ran| ran.failures.is_empty()).count()
    }

    /// How many did not.
    pub fn failed(&self) -> usize {
        self.all().count() - self.passed()
    }

    /// For people. Colour only where it is wanted.
    pub fn text(&self, color: bool) -> String {
        let mut out = String::new();
        for (name, tests) in &self.files {
            let _ = writeln!(out, "{name}"); // writing to a String cannot fail
            tests.iter().for_each(|ran| test(&mut out, ran, color));
        }
        let _ = writeln!(out, "{} passed, {} failed", self.passed(), self.failed());
        out
    }
}

fn test(out: &mut String, ran: &Ran, color: bool) {
    let word = |text: &str, code: &str| match color {
        true => format!("\x1b[{code}m{text}\x1b[0m"),
        false => text.to_owned(),
    };
    if ran.failures.is_empty() {
        let _ = writeln!(out, "  {}    {}", word("ok", "32"), ran.name);
        return;
    }
    let gap = (PLACE - 8).saturating_sub(ran.name.chars().count()).max(2);
    let _ = writeln!(out, "  {}  {}{:gap$}{}", word("FAIL", "31"), ran.name, "", ran.place);
    ran.failures.iter().for_each(|failure| failed(out, failure));
}

fn failed(out: &mut String, failure: &Failure) {
    if !failure.step.is_empty() {
        let _ = writeln!(out, "          in        {} ({})", failure.step, failure.place);
    }
    let _ = writeln!(out, "          expected  {}", failure.expected);
    let _ = writeln!(out, "          got       {}", failure.got);
    for (at, because) in failure.because.iter().enumerate() {
        let _ = writeln!(out, "          {:8}  {because}", if at == 0 { "because" } else { "" });
    }
    for line in failure.trace.lines() {
        let _ = writeln!(out, "            | {line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_what_failed_and_why() {
        let failure = Failure {
            place: "site.yaml:33".into(),
            step: String::new(),
            expected: "outcome bypass, rule private".into(),
            got: "outcome miss, no rule, stored, ttl 10m".into(),
            because: vec!["rule `private` did not match: path is not under /account/".into()],
            trace: "route      #1 default\nrules      private  no\n".into(),
        };
        let ok = Ran { name: "one".into(), place: "site.yaml:3".into(), failures: Vec::new() };
        let bad = Ran { name: "two".into(), place: "site.yaml:31".into(), failures: vec![failure] };
        let report = Report { files: vec![("site.yaml".into(), vec![ok, bad])] };
        assert_eq!((report.passed(), report.failed()), (1, 1));
        let expected = "\
site.yaml
  ok    one
  FAIL  two                                                     site.yaml:31
          expected  outcome bypass, rule private
          got       outcome miss, no rule, stored, ttl 10m
          because   rule `private` did not match: path is not under /account/
            | route      #1 default
            | rules      private  no
1 passed, 1 failed
";
        assert_eq!(report.text(false), expected);
        assert!(report.text(true).contains("\x1b[31mFAIL\x1b[0m  two"));
    }
}
