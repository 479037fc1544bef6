//! What is special to the simulation of crashes.
