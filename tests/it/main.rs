//! Whole requests through a running edge: an origin, the edge and a client, all in this process.
