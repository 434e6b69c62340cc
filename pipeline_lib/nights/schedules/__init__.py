"""Files that make cron, systemd, Kubernetes or Airflow score every night what is missing of the last nights."""
