//! Writes how the tests of rule files went as JUnit XML, which every build server reads.

use super::report::Report;
use super::runner::{Failure, Ran};
use std::fmt::Write;

impl Report {
    /// As JUnit XML: a suite for each file.
    pub fn junit(&self) -> String {
        let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        let (all, failed) = (self.all().count(), self.failed());
        // Writing to a String cannot fail.
        let _ = writeln!(out, "<testsuites name=\"foreland test\" tests=\"{all}\" failures=\"{failed}\">");
        for (name, tests) in &self.files {
            let failed = tests.iter().filter(|ran| !ran.failures.is_empty()).count();
            let (name, all) = (escaped(name), tests.len());
            let _ = writeln!(out, "  <testsuite name=\"{name}\" tests=\"{all}\" failures=\"{failed}\">");
            tests.iter().for_each(|ran| case(&mut out, &name, ran));
            out.push_str("  </testsuite>\n");
        }
        out.push_str("</testsuites>\n");
        out
    }
}

fn case(out: &mut String, file: &str, ran: &Ran) {
    let _ = write!(out, "    <testcase classname=\"{file}\" name=\"{}\"", escaped(&ran.name));
    if ran.failures.is_empty() {
        out.push_str("/>\n");
        return;
    }
    out.push_str(">\n");
    for failure in &ran.failures {
        let message = format!("expected {}; got {}", failure.expected, failure.got);
        let _ = writeln!(
            out,
            "      <failure message=\"{}\">{}</failure>",
            escaped(&message),
            escaped(&body(ran, failure))
        );
    }
    out.push_str("    </testcase>\n");
}

fn body(ran: &Ran, failure: &Failure) -> String {
    let place = if failure.place.is_empty() { &ran.place } else { &failure.place };
    let because = failure.because.iter().map(|because| format!("because {because}\n")).collect::<String>();
    format!("{place}\n{because}{}", failure.trace)
}

/// XML 1.0 §2.2, §2.4: what may not stand there is written otherwise, or left out where there is no way to.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_well_formed_whatever_it_says() {
        let failure = Failure {
            place: "a.yaml:3".into(),
            step: String::new(),
            expected: "rule <b>".into(),
            got: "rule \"c\" & more\u{1}".into(),
            because: vec!["so".into()],
            trace: "line\n".into(),
        };
        let ok = Ran { name: "fine".into(), place: "a.yaml:1".into(), failures: Vec::new() };
        let bad = Ran { name: "a & b".into(), place: "a.yaml:2".into(), failures: vec![failure] };
        let report = Report { files: vec![("a.yaml".into(), vec![ok, bad])] };
        let expected = "\
<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<testsuites name=\"foreland test\" tests=\"2\" failures=\"1\">
  <testsuite name=\"a.yaml\" tests=\"2\" failures=\"1\">
    <testcase classname=\"a.yaml\" name=\"fine\"/>
    <testcase classname=\"a.yaml\" name=\"a &amp; b\">
      <failure message=\"expected rule &lt;b&gt;; got rule &quot;c&quot; &amp; more\u{fffd}\">a.yaml:3
because so
line
</failure>
    </testcase>
  </testsuite>
</testsuites>
";
        assert_eq!(report.junit(), expected);
    }
}
