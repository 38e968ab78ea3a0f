//! What the simulated API and a real server have in common: requests, and what has to be in their answers.
