-- SPDX-License-Identifier: Apache-2.0
--
-- Run once, by the superuser of a new server: the database and the login that owns it. Whatever else there is to make,
-- `weir migrate --roles` makes as that login.
\getenv password WEIR_OWNER_PASSWORD
CREATE ROLE weir_owner LOGIN CREATEROLE PASSWORD :'password';
CREATE DATABASE weir OWNER weir_owner;
