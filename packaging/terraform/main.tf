# A module: an instance with a locked metadata service. IMDSv2 only, hop limit 1, only the users of var.users, and a role that
# trusts only EC2. README.md has an example.

locals {
  # As packaging/cloud-init/cloud-config.yaml, which explains each part.
  lock = concat(
    ["cloud-init-per", "instance", "ip-lockdown", "ip-lockdown", "enable", "--now", "169.254.169.254"],
    var.users,
  )
  user_data = var.lock_with_user_data ? "#cloud-config\n${yamlencode({ bootcmd = [local.lock] })}" : null
}

resource "aws_instance" "locked" {
  ami                    = var.ami
  instance_type          = var.instance_type
  subnet_id              = var.subnet_id
  vpc_security_group_ids = var.security_group_ids
  iam_instance_profile   = aws_iam_instance_profile.locked.name
  user_data              = local.user_data
  tags                   = merge({ Name = var.name }, var.tags)

  metadata_options {
    http_endpoint = "enabled"
    # Tokens stop simple SSRF. The hop limit stops bridged containers even with `--forwarded allow`.
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  # User-data runs at the first boot only: changed user-data requires a new instance.
  user_data_replace_on_change = true
}

resource "aws_iam_role_policy_attachment" "locked" {
  for_each = var.policy_arns

  role       = aws_iam_role.locked.name
  policy_arn = each.value
}
