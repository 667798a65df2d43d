//! The front doors: unary calls and streams, in what only they do. How one
//! operation is checked, admitted and executed is the router's.

mod stopping;
mod stream;
pub mod unary;
mod watch;
