pub mod catalog;
pub mod domain;
pub mod yaml;
