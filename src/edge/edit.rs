//! Carries out the header edits of routes and rules, on every form that a head has here.

use super::arrival::Arrival;
use crate::http::request::RequestView;
use crate::plan::{Plan, Ruled};
use crate::route::{Edits, Values};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};
use std::borrow::Cow;

/// Edits, and what their variables stand for.
pub struct Edit<'a> {
    /// What is to be changed.
    pub edits: &'a Edits,
    /// What the variables stand for.
    pub values: Values<'a>,
}

impl<'a> Edit<'a> {
    /// The edits of a route, for one request.
    pub fn new(
        edits: &'a Edits,
        plan: &'a Plan,
        route: &'a str,
        view: &'a RequestView<'a>,
        arrival: &'a Arrival,
    ) -> Self {
        let listener = plan.listener_name(arrival.listener);
        Self { edits, values: Values { view, id: arrival.id.as_str(), listener, route } }
    }

    /// What is added once the old fields are gone.
    pub fn additions(&self) -> impl Iterator<Item = (&'a str, Vec<u8>)> {
        self.edits.written().map(|(name, template)| (name, template.value(&self.values)))
    }

    /// Changes a list of fields.
    pub fn fields(&self, fields: &mut Vec<(Cow<'static, str>, Vec<u8>)>) {
        fields.retain(|(name, _)| !self.edits.removes(name));
        fields.extend(self.additions().map(|(name, value)| (name.to_owned().into(), value)));
    }

    /// Changes a request on its way to an origin.
    pub fn request(&self, request: &mut RequestHeader) -> Result<()> {
        for name in self.edits.remove.iter() {
            request.remove_header(&**name);
        }
        for (name, template) in &self.edits.set {
            request.insert_header(name.to_string(), template.value(&self.values))?;
        }
        for (name, template) in &self.edits.add {
            request.append_header(name.to_string(), template.value(&self.values))?;
        }
        Ok(())
    }

    /// Changes a response on its way to a client.
    pub fn response(&self, response: &mut ResponseHeader) -> Result<()> {
        for name in self.edits.remove.iter() {
            response.remove_header(&**name);
        }
        for (name, template) in &self.edits.set {
            response.insert_header(name.to_string(), template.value(&self.values))?;
        }
        for (name, template) in &self.edits.add {
            response.append_header(name.to_string(), template.value(&self.values))?;
        }
        Ok(())
    }
}

/// What rules change in a response before it is stored.
#[derive(Default)]
pub struct Stored<'r> {
    /// Seconds for which a browser may keep it; what the origin said about that is left out then.
    pub browser: Option<u32>,
    /// Whether its cookies are left out.
    pub strip_set_cookie: bool,
    /// Fields that are taken out or replaced.
    pub edits: Option<&'r Edits>,
    /// Fields that are put in.
    pub additions: Vec<(&'r str, Vec<u8>)>,
}

impl<'r> Stored<'r> {
    /// What the rules that decide say.
    pub fn by(ruled: &Ruled<'r>, view: &RequestView<'_>, route: &str, status: u16) -> Self {
        let Some(rules) = ruled.rules else { return Self::default() };
        let edits = rules.response_headers(ruled.terms);
        let values = Values { view, id: "", listener: "", route };
        let written = edits.into_iter().flat_map(Edits::written);
        let additions = written.map(|(name, template)| (name, template.value(&values))).collect();
        let policy = rules.policy(ruled.terms, status);
        // A short lifetime that a rule gives this very status is meant for browsers too.
        let named = policy.ttl.filter(|ttl| ttl.named).map_or(u32::MAX, |ttl| ttl.seconds);
        Self {
            browser: rules.browser(ruled.terms).map(|seconds| seconds.min(named)),
            strip_set_cookie: policy.strip_set_cookie,
            edits,
            additions,
        }
    }

    /// Whether a field of the response is not stored at all.
    pub fn strips(&self, name: &str) -> bool {
        self.strip_set_cookie && name.eq_ignore_ascii_case("set-cookie")
    }

    /// Whether a field of the response gives way to what a rule says.
    pub fn replaces(&self, name: &str) -> bool {
        self.edits.is_some_and(|edits| edits.removes(name))
    }

    /// Changes a response that is not stored, where nothing is said to browsers.
    pub fn pass(&self, response: &mut ResponseHeader) -> Result<()> {
        if self.strip_set_cookie {
            response.remove_header("set-cookie");
        }
        for name in self.edits.iter().flat_map(|edits| edits.remove.iter()) {
            response.remove_header(&**name);
        }
        for (name, _) in self.edits.iter().flat_map(|edits| &edits.set) {
            response.remove_header(&**name);
        }
        for (name, value) in &self.additions {
            response.append_header((*name).to_owned(), value.clone())?;
        }
        Ok(())
    }
}
