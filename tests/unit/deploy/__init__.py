"""What is deployed beside the services: rules, alerts, dashboards."""
