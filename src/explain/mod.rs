//! Explains a request and rehearses it: which route, which rules, which key, what becomes of the response, and why.
//!
//! | part | what it does |
//! |---|---|
//! | [`Question`] | a request, and what the origin answers to it |
//! | `inquiry`, `fate` | asks everything that decides what it decides: the request's side, the response's side |
//! | [`Explained`], `text`, `json` | what there is to say, and how it is written |
//! | [`reasons`], `manual` | what every word of the vocabulary means, and what to do about it; the manual's pages |
//! | [`Case`], `runner`, `junit` | the tests of rule files, played through and reported |
//!
//! The invariant: nothing is decided here. Every answer comes from the function that serving calls: `decide`, the trace
//! of the rules, `judge`, `turn`; a case is played by `edge::rehearse`. Nothing is changed in a running node, and no
//! visit counted. Not here: reading configuration and rule files, and the network.

mod case;
mod compare;
mod explained;
mod fate;
mod inquiry;
mod json;
mod junit;
mod manual;
mod question;
pub mod reasons;
mod report;
mod runner;
#[cfg(test)]
mod tests;
mod text;

pub use crate::edge::rehearse::Given;
pub use case::{Case, CaseFile, Down, Expect, Response, Step, Storing};
pub use explained::Explained;
pub use inquiry::explain;
pub use manual::pages as manual_pages;
pub use question::{Question, Request};
pub use report::Report;
pub use runner::{Failure, Ran, START, dry, run, stage};
