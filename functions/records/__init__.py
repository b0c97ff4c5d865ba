"""The record in Azure Table Storage: its rows, its clients, and the rules by which it is read and written."""
