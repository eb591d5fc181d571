"""The cluster's job server: jobs handed to it over HTTP, with the folder to upload; no Ray on this side."""
