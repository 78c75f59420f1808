# An instance whose metadata service is locked: IMDSv2 only, no hop beyond the instance, root alone on it, and a role that
# trusts EC2 and nobody else. The image must have ip-lockdown; packaging/packer makes one.
#
# role.tf is what `ip-lockdown trust-policy build` prints; cloud-config.yaml is that of packaging/cloud-init. With an image
# that has the lockdown enabled, user_data can go.

terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 4.0"
    }
  }
}

variable "ami" {
  description = "An image that has ip-lockdown."
  type        = string
}

variable "instance_type" {
  type    = string
  default = "t3.micro"
}

variable "subnet_id" {
  type = string
}

resource "aws_instance" "locked" {
  ami                  = var.ami
  instance_type        = var.instance_type
  subnet_id            = var.subnet_id
  iam_instance_profile = aws_iam_instance_profile.locked.name
  user_data            = file("${path.module}/../cloud-init/cloud-config.yaml")

  metadata_options {
    http_endpoint = "enabled"
    # Tokens keep out simple SSRF; the hop limit keeps out bridged containers that the lockdown is told to let through.
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  # User-data is read at the first boot: a changed one makes a new instance.
  user_data_replace_on_change = true
}
